//! Decoding of input items into a conversation.

use std::collections::HashSet;

use serde_json::Value;

use super::client_items;
use super::content;
use super::content::Speaker;
use super::content::only;
use super::item_fields;
use super::parameters::unexpected;
use super::sealed::Sealed;
use crate::api::history;
use crate::api::history::Draft;
use crate::api::history::Piece;
use crate::api::history::Rules;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Policy;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Rules for the conversation. No response can be resumed after a pause, since its items lack the
/// blocks of Anthropic's server tools.
const RULES: Rules = Rules {
    field: "input",
    merges: false,
    is_paused: |_| false,
};

/// Decoded items, split as a turn needs them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// Fields that only some types of items may have.
const MATTER: [&str; 21] = [
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
const SKIPPED: [(&str, &[&str]); 4] = [
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
const LEFT_OUT: [&str; 10] = [
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
const LONGEST_CALL_ID: usize = 64;

/// Items of earlier responses, and the request field that refers to them.
pub(super) type Earlier<'a> = (&'static str, &'a [Value]);

/// Decodes the `earlier` items and the `input` into a conversation, with `instructions` first.
pub(super) fn conversation(
    instructions: Option<String>,
    earlier: Earlier<'_>,
    input: &[Value],
    ignored: &mut Ignored,
) -> Result<Conversation, InvalidRequest> {
    let Reader { system, draft, .. } = read(earlier, input, ignored)?;
    let is_said = |text: &String| !text.trim().is_empty();
    let mut system: Vec<_> = instructions
        .into_iter()
        .chain(system)
        .filter(is_said)
        .collect();
    let history::Conversation { history, prompt } = draft.finish(|| system.pop(), ignored)?;
    Ok(Conversation {
        system,
        history,
        prompt,
    })
}

/// Checks items without requiring that an answer comes next, and without repairs.
pub(super) fn check(
    earlier: Earlier<'_>,
    input: &[Value],
    ignored: &mut Ignored,
) -> Result<(), InvalidRequest> {
    read(earlier, input, ignored).map(drop)
}

/// Checks that each of `items` is valid by itself.
///
/// # Errors
/// If an item is invalid; the path in the error begins with `input`.
pub fn check_items(items: &[Value], ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    check(("input", &[]), items, ignored)
}

fn read(
    (before, earlier): Earlier<'_>,
    input: &[Value],
    ignored: &mut Ignored,
) -> Result<Reader, InvalidRequest> {
    let mut reader = Reader {
        system: Vec::new(),
        draft: Draft::new(RULES),
        skipped: HashSet::new(),
    };
    // Remarks on earlier items were reported when those were sent.
    let mut known = Ignored::new(Policy::Lenient);
    for item in earlier {
        reader.item(
            item.clone(),
            Place::at(before, &item_fields::ITEM),
            &mut known,
        )?;
    }
    for (index, item) in input.iter().enumerate() {
        reader.item(
            item.clone(),
            Place::at(format!("input[{index}]"), &item_fields::ITEM),
            ignored,
        )?;
    }
    Ok(reader)
}

/// Decoder of a conversation, item by item.
struct Reader {
    system: Vec<String>,
    draft: Draft,
    /// Ids of dropped calls, whose outputs are dropped too.
    skipped: HashSet<String>,
}

impl Reader {
    fn item(
        &mut self,
        item: Value,
        place: Place,
        ignored: &mut Ignored,
    ) -> Result<(), InvalidRequest> {
        let mut item = Object::new(client_items::as_function(item, &place)?, place)?;
        let kind = item
            .take_text("type")?
            .unwrap_or_else(|| "message".to_owned());
        item.take("id")?;
        let status = item.take_text("status")?;
        let name = item.take_text("name")?;
        match kind.as_str() {
            "message" => self.message(&mut item, ignored)?,
            "function_call" => self.call(&mut item, name, status.as_deref())?,
            "function_call_output" => self.output(&mut item, ignored)?,
            "reasoning" => {
                item.take("content")?;
                item.take("summary")?;
                self.reasoning(&mut item, ignored)?;
            }
            "compaction" => self.compaction(&mut item)?,
            // References with an id are resolved before.
            "item_reference" => return Err(item.missing("id")),
            // Its tools are read with those of the request.
            "additional_tools" => ["role", "tools"]
                .iter()
                .try_for_each(|name| item.take(name).map(drop))?,
            other if LEFT_OUT.contains(&other) => {
                return ignored.leave_out(format!("input[] ({other})"), foreign(&item, other));
            }
            other => {
                let known = SKIPPED.iter().find(|(known, _)| *known == other);
                let (_, matter) = known.ok_or_else(|| foreign(&item, other))?;
                matter
                    .iter()
                    .try_for_each(|name| item.take(name).map(drop))?;
                ignored.note(&format!("input[] ({other})"));
            }
        }
        only(&mut item, &MATTER, &kind)?;
        item.finish(ignored)
    }

    fn message(&mut self, item: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let role = item
            .take_text("role")?
            .ok_or_else(|| item.missing("role"))?;
        let speaker = match role.as_str() {
            "system" | "developer" => Speaker::Instructions,
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            other => {
                let expected = "`user`, `assistant`, `system` or `developer`";
                return Err(unexpected(item, "role", expected, other));
            }
        };
        let content = item
            .take("content")?
            .ok_or_else(|| item.missing("content"))?;
        let parts = content::parts(content, speaker, &item.place, "content", ignored)?;
        match speaker {
            Speaker::Instructions if self.draft.is_empty() => {
                self.system.extend(parts.into_iter().filter_map(words));
            }
            Speaker::Instructions => {
                let path = item.place.field("content");
                let said = parts.into_iter().filter_map(words).map(Part::Instruction);
                let pieces = said
                    .map(|part| Piece {
                        part,
                        path: path.clone(),
                    })
                    .collect();
                self.draft.say(Role::User, path.as_str(), pieces);
            }
            // Part of an empty answer.
            Speaker::Assistant if parts.is_empty() => {}
            Speaker::Assistant => self.say(&item.place.field("content"), parts),
            Speaker::User | Speaker::Tool => {
                let path = item.place.field("content");
                let pieces = parts
                    .into_iter()
                    .map(|part| Piece {
                        part,
                        path: path.clone(),
                    })
                    .collect();
                self.draft.say(Role::User, path, pieces);
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        item: &mut Object,
        name: Option<String>,
        status: Option<&str>,
    ) -> Result<(), InvalidRequest> {
        let id = call_id(item)?;
        let name = name.ok_or_else(|| item.missing("name"))?;
        let input = item
            .take_text("arguments")?
            .ok_or_else(|| item.missing("arguments"))?;
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
        self.say(
            &item.place.field("arguments"),
            vec![Part::ToolUse(ToolUse { id, name, input })],
        );
        Ok(())
    }

    fn output(&mut self, item: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let id = call_id(item)?;
        // Its call carries the namespace as well.
        item.take("namespace")?;
        let output = item.take("output")?.ok_or_else(|| item.missing("output"))?;
        let parts = content::parts(output, Speaker::Tool, &item.place, "output", ignored)?;
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
            .say(Role::User, path.clone(), vec![Piece { part, path }]);
        Ok(())
    }

    fn reasoning(
        &mut self,
        item: &mut Object,
        ignored: &mut Ignored,
    ) -> Result<(), InvalidRequest> {
        let Some(text) = item.take_text("encrypted_content")? else {
            return Ok(());
        };
        match Sealed::from_text(&text).and_then(Sealed::into_thinking) {
            Some(thinking) => {
                self.say(
                    &item.place.field("encrypted_content"),
                    vec![Part::Thinking(thinking)],
                );
                Ok(())
            }
            // Thinking that another server produced.
            None => ignored.leave_out("input[].encrypted_content".to_owned(), broken(item)),
        }
    }

    fn compaction(&mut self, item: &mut Object) -> Result<(), InvalidRequest> {
        let text = item
            .take_text("encrypted_content")?
            .ok_or_else(|| item.missing("encrypted_content"))?;
        let Some(Sealed::Conversation(items)) = Sealed::from_text(&text) else {
            return Err(broken(item));
        };
        // Remarks were reported when the conversation was compacted.
        let mut known = Ignored::new(Policy::Lenient);
        items
            .into_iter()
            .try_for_each(|inner| self.item(inner, item.place.clone(), &mut known))
    }

    /// Adds parts to the answer at the end of the conversation, or begins one.
    fn say(&mut self, path: &str, parts: Vec<Part>) {
        let pieces = parts
            .into_iter()
            .map(|part| Piece {
                part,
                path: path.to_owned(),
            })
            .collect();
        self.draft.go_on(path, pieces);
    }
}

fn call_id(item: &mut Object) -> Result<String, InvalidRequest> {
    let id = item
        .take_text("call_id")?
        .ok_or_else(|| item.missing("call_id"))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=LONGEST_CALL_ID).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(id);
    }
    Err(item.refuse(
        "call_id",
        code::VALUE,
        "expected 1 to 64 letters, digits, `_` and `-`.",
    ))
}

fn broken(item: &Object) -> InvalidRequest {
    let words = "this is nothing that this server gave. Send it as it came, or remove the item.";
    item.refuse("encrypted_content", code::VALUE, words)
}

fn foreign(item: &Object, kind: &str) -> InvalidRequest {
    let kind = printable(kind);
    let words =
        format!("nobody here knows what to do with items of type `{kind}`. Remove the item.");
    item.refuse("type", code::UNSUPPORTED, &words)
}

fn words(part: Part) -> Option<String> {
    if let Part::Text(text) = part {
        Some(text)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
