//! Decoding of input items into a conversation.

use std::collections::HashSet;

use serde_json::Value;

use super::client_items;
use super::content;
use super::content::ItemRole;
use super::content::refuse_other_fields;
use super::encrypted_content::EncryptedContent;
use super::item_fields;
use crate::api::history;
use crate::api::history::DraftPart;
use crate::api::history::DraftRules;
use crate::api::history::HistoryDraft;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Rules for the conversation. No response can be resumed after a pause, since its items lack the
/// blocks of Anthropic's server tools.
const RULES: DraftRules = DraftRules {
    field: "input",
    merges: false,
    is_paused: |_| false,
};

/// Decoded items, split as a turn needs them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ResponseConversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// Fields that only some types of items may have.
const ITEM_TYPE_FIELDS: [&str; 21] = [
    "role",
    "content",
    "arguments",
    "output",
    "encrypted_content",
    "summary",
    "call_id",
    "action",
    "code",
    "container_id",
    "outputs",
    "server_label",
    "error",
    "approval_request_id",
    "tools",
    "input",
    "operation",
    "environment",
    "max_output_length",
    "namespace",
    "execution",
];
/// Item types of server tools, with their fields. These items are dropped: the answer text holds
/// the result.
const SKIPPED_ITEM_TYPES: [(&str, &[&str]); 4] = [
    ("web_search_call", &["action"]),
    (
        "code_interpreter_call",
        &["code", "container_id", "outputs"],
    ),
    (
        "mcp_call",
        &[
            "server_label",
            "arguments",
            "output",
            "error",
            "approval_request_id",
        ],
    ),
    ("mcp_list_tools", &["server_label", "tools", "error"]),
];
/// Item types of tools that this server does not support.
const UNSUPPORTED_ITEM_TYPES: [&str; 10] = [
    "image_generation_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "tool_search_call",
    "tool_search_output",
    "program",
    "program_output",
];
const MAX_CALL_ID_LENGTH: usize = 64;

/// Items of earlier responses, and the request field that refers to them.
pub(super) type EarlierItems<'a> = (&'static str, &'a [Value]);

/// Decodes the `earlier` items and the `input` into a conversation, with `instructions` first.
pub(super) fn decode_conversation(
    instructions: Option<String>,
    earlier: EarlierItems<'_>,
    input: &[Value],
    ignored: &mut RemarkCollector,
) -> Result<ResponseConversation, InvalidRequest> {
    let InputReader { system, draft, .. } = read_items(earlier, input, ignored)?;
    let is_said = |text: &String| !text.trim().is_empty();
    let mut system: Vec<_> = instructions
        .into_iter()
        .chain(system)
        .filter(is_said)
        .collect();
    let history::RepairedConversation { history, prompt } =
        draft.finish(|| system.pop(), ignored)?;
    Ok(ResponseConversation {
        system,
        history,
        prompt,
    })
}

/// Checks items without requiring that an answer comes next, and without repairs.
pub(super) fn check_conversation(
    earlier: EarlierItems<'_>,
    input: &[Value],
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    read_items(earlier, input, ignored).map(drop)
}

/// Checks that each of `items` is valid by itself.
///
/// # Errors
/// Fails if an item is invalid; the path in the error begins with `input`.
pub fn check_items(items: &[Value], ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
    check_conversation(("input", &[]), items, ignored)
}

fn read_items(
    (before, earlier): EarlierItems<'_>,
    input: &[Value],
    ignored: &mut RemarkCollector,
) -> Result<InputReader, InvalidRequest> {
    let mut reader = InputReader {
        system: Vec::new(),
        draft: HistoryDraft::new(RULES),
        skipped: HashSet::new(),
    };
    // Remarks on earlier items were reported when those were sent.
    let mut known = RemarkCollector::new(Policy::Lenient);
    for item in earlier {
        reader.add_item(
            item.clone(),
            ObjectPath::at(before, &item_fields::ITEM),
            &mut known,
        )?;
    }
    for (index, item) in input.iter().enumerate() {
        reader.add_item(
            item.clone(),
            ObjectPath::at(format!("input[{index}]"), &item_fields::ITEM),
            ignored,
        )?;
    }
    Ok(reader)
}

/// Decoder of a conversation, item by item.
struct InputReader {
    system: Vec<String>,
    draft: HistoryDraft,
    /// Ids of dropped calls, whose outputs are dropped too.
    skipped: HashSet<String>,
}

impl InputReader {
    fn add_item(
        &mut self,
        item: Value,
        place: ObjectPath,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let mut item = ObjectReader::new(client_items::as_function(item, &place)?, place)?;
        let kind = item
            .take_text("type")?
            .unwrap_or_else(|| "message".to_owned());
        item.take("id")?;
        let status = item.take_text("status")?;
        let name = item.take_text("name")?;
        match kind.as_str() {
            "message" => self.add_message(&mut item, ignored)?,
            "function_call" => self.add_call(&mut item, name, status.as_deref())?,
            "function_call_output" => self.add_output(&mut item, ignored)?,
            "reasoning" => {
                item.take("content")?;
                item.take("summary")?;
                self.add_reasoning(&mut item, ignored)?;
            }
            "compaction" => self.add_compaction(&mut item)?,
            // References with an id are resolved before.
            "item_reference" => return Err(item.missing_field("id")),
            // Its tools are read with those of the request.
            "additional_tools" => ["role", "tools"]
                .iter()
                .try_for_each(|name| item.take(name).map(drop))?,
            other if UNSUPPORTED_ITEM_TYPES.contains(&other) => {
                return ignored.drop_unsupported(
                    format!("input[] ({other})"),
                    unsupported_item(&item, other),
                );
            }
            other => {
                let known = SKIPPED_ITEM_TYPES.iter().find(|(known, _)| *known == other);
                let (_, matter) = known.ok_or_else(|| unsupported_item(&item, other))?;
                matter
                    .iter()
                    .try_for_each(|name| item.take(name).map(drop))?;
                ignored.report(&format!("input[] ({other})"));
            }
        }
        refuse_other_fields(&mut item, &ITEM_TYPE_FIELDS, &kind)?;
        item.finish(ignored)
    }

    fn add_message(
        &mut self,
        item: &mut ObjectReader,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let role = item.require_text("role")?;
        let item_role = match role.as_str() {
            "system" | "developer" => ItemRole::Instructions,
            "user" => ItemRole::User,
            // The field table admits no other word than `assistant`.
            _ => ItemRole::Assistant,
        };
        let content = item.require("content")?;
        let parts = content::read_parts(content, item_role, &item.place, "content", ignored)?;
        match item_role {
            ItemRole::Instructions if self.draft.is_empty() => {
                self.system.extend(parts.into_iter().filter_map(into_text));
            }
            ItemRole::Instructions => {
                let path = item.place.field("content");
                let said = parts
                    .into_iter()
                    .filter_map(into_text)
                    .map(Part::Instruction);
                let pieces = said
                    .map(|part| DraftPart {
                        part,
                        path: path.clone(),
                    })
                    .collect();
                self.draft.add_message(Role::User, path.as_str(), pieces);
            }
            // Part of an empty answer.
            ItemRole::Assistant if parts.is_empty() => {}
            ItemRole::Assistant => self.add_to_answer(&item.place.field("content"), parts),
            ItemRole::User | ItemRole::Tool => {
                let path = item.place.field("content");
                let pieces = parts
                    .into_iter()
                    .map(|part| DraftPart {
                        part,
                        path: path.clone(),
                    })
                    .collect();
                self.draft.add_message(Role::User, path, pieces);
            }
        }
        Ok(())
    }

    fn add_call(
        &mut self,
        item: &mut ObjectReader,
        name: Option<String>,
        status: Option<&str>,
    ) -> Result<(), InvalidRequest> {
        let id = take_call_id(item)?;
        let name = name.ok_or_else(|| item.missing_field("name"))?;
        let input = item.require_text("arguments")?;
        if status == Some("incomplete") {
            self.skipped.insert(id);
            return Ok(());
        }
        // A complete call with the id of a dropped one replaces it, so its output counts.
        self.skipped.remove(&id);
        let input = if input.trim().is_empty() {
            "{}".to_owned()
        } else {
            input
        };
        self.add_to_answer(
            &item.place.field("arguments"),
            vec![Part::ToolUse(ToolUse { id, name, input })],
        );
        Ok(())
    }

    fn add_output(
        &mut self,
        item: &mut ObjectReader,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let id = take_call_id(item)?;
        // Its call carries the namespace as well.
        item.take("namespace")?;
        let output = item.require("output")?;
        let parts = content::read_parts(output, ItemRole::Tool, &item.place, "output", ignored)?;
        if self.skipped.contains(&id) {
            return Ok(());
        }
        let part = Part::ToolResult(ToolResult {
            id,
            parts,
            is_error: false,
        });
        let path = item.place.field("call_id");
        self.draft
            .add_message(Role::User, path.clone(), vec![DraftPart { part, path }]);
        Ok(())
    }

    fn add_reasoning(
        &mut self,
        item: &mut ObjectReader,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let Some(text) = item.take_text("encrypted_content")? else {
            return Ok(());
        };
        match EncryptedContent::from_text(&text).and_then(EncryptedContent::into_thinking) {
            Some(thinking) => {
                self.add_to_answer(
                    &item.place.field("encrypted_content"),
                    vec![Part::Thinking(thinking)],
                );
                Ok(())
            }
            // Thinking that another server produced.
            None => ignored.drop_unsupported(
                "input[].encrypted_content".to_owned(),
                invalid_encrypted_content(item),
            ),
        }
    }

    fn add_compaction(&mut self, item: &mut ObjectReader) -> Result<(), InvalidRequest> {
        let text = item.require_text("encrypted_content")?;
        let Some(EncryptedContent::Conversation(items)) = EncryptedContent::from_text(&text) else {
            return Err(invalid_encrypted_content(item));
        };
        // Remarks were reported when the conversation was compacted.
        let mut known = RemarkCollector::new(Policy::Lenient);
        items
            .into_iter()
            .try_for_each(|inner| self.add_item(inner, item.place.clone(), &mut known))
    }

    /// Adds parts to the answer at the end of the conversation, or begins one.
    fn add_to_answer(&mut self, path: &str, parts: Vec<Part>) {
        let pieces = parts
            .into_iter()
            .map(|part| DraftPart {
                part,
                path: path.to_owned(),
            })
            .collect();
        self.draft.extend_answer(path, pieces);
    }
}

fn take_call_id(item: &mut ObjectReader) -> Result<String, InvalidRequest> {
    let id = item.require_text("call_id")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=MAX_CALL_ID_LENGTH).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(id);
    }
    Err(item.invalid_field(
        "call_id",
        code::VALUE,
        "expected 1 to 64 letters, digits, `_` and `-`.",
    ))
}

fn invalid_encrypted_content(item: &ObjectReader) -> InvalidRequest {
    let words =
        "expected a value that this server returned. Send it unchanged, or remove the item.";
    item.invalid_field("encrypted_content", code::VALUE, words)
}

fn unsupported_item(item: &ObjectReader, kind: &str) -> InvalidRequest {
    let kind = printable(kind);
    let words = format!("items of type `{kind}` are not supported. Remove the item.");
    item.invalid_field("type", code::UNSUPPORTED, &words)
}

fn into_text(part: Part) -> Option<String> {
    if let Part::Text(text) = part {
        Some(text)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
