//! Decoding of the messages of a request.

use super::content;
use super::content::BlockContext;
use super::content::Instruction;
use super::fields;
use super::native;
use crate::api::history;
use crate::api::history::DraftPart;
use crate::api::history::DraftRules;
use crate::api::history::HistoryDraft;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ItemList;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::check_length;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;

/// Rules for messages. Anthropic resumes only answers that it paused itself (`pause_turn`).
const RULES: DraftRules = DraftRules {
    field: "messages",
    merges: true,
    is_paused: native::is_server_tool,
};

/// Decoded messages, split into instructions, history and prompt.
#[derive(Debug, Default)]
pub(super) struct DecodedConversation {
    pub(super) system: Vec<Instruction>,
    pub(super) history: Vec<Message>,
    /// Prompt parts. Empty if the model continues its last answer.
    pub(super) prompt: Vec<Part>,
}

/// Decodes the messages of a request, after the instructions `system`.
pub(super) fn decode(
    mut system: Vec<Instruction>,
    messages: ItemList<'_>,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<DecodedConversation, InvalidRequest> {
    check_length("messages", messages.count())?;
    let written = written.items();
    let mut draft = HistoryDraft::new(RULES);
    for (index, message) in messages.parse_each().enumerate() {
        let message = ObjectReader::new(
            message?,
            ObjectPath::at(format!("messages[{index}]"), &fields::MESSAGE),
        )?;
        let path = message.place.field("content");
        let (home, parts) = decode_message(
            message,
            written.get(index).copied().unwrap_or_default(),
            ignored,
        )?;
        let role = match home {
            BlockContext::User => Role::User,
            BlockContext::Assistant => Role::Assistant,
            BlockContext::Instructions | BlockContext::Result => {
                if parts.iter().all(content::is_blank) {
                    history::report_empty(&path, ignored)?;
                }
                let said = parts.into_iter().filter(|part| !content::is_blank(part));
                if draft.is_empty() {
                    system.extend(said.filter_map(content::to_instruction));
                } else {
                    let said = said.flat_map(content::instruction_parts).enumerate();
                    draft.add_message(
                        Role::User,
                        path.as_str(),
                        said.map(|said| piece(&path, said)).collect(),
                    );
                }
                continue;
            }
        };
        draft.add_message(
            role,
            path.as_str(),
            parts
                .into_iter()
                .enumerate()
                .map(|said| piece(&path, said))
                .collect(),
        );
    }
    let instruction = || system.pop().map(|instruction| instruction.text);
    let history::RepairedConversation { history, prompt } = draft.finish(instruction, ignored)?;
    Ok(DecodedConversation {
        system,
        history,
        prompt,
    })
}

fn piece(path: &str, (index, part): (usize, Part)) -> DraftPart {
    DraftPart {
        part,
        path: format!("{path}[{index}]"),
    }
}

/// Decodes a message to its context and its parts.
fn decode_message(
    mut message: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<(BlockContext, Vec<Part>), InvalidRequest> {
    let home = decode_role(&mut message)?;
    let place = message.place.clone();
    let content = message.require("content")?;
    message.finish(ignored)?;
    let parts = content::decode_parts(content, written.field("content"), home, &place, ignored)?;
    Ok((home, parts))
}

fn decode_role(message: &mut ObjectReader) -> Result<BlockContext, InvalidRequest> {
    let role = message.require_text("role")?;
    match role.as_str() {
        "user" => Ok(BlockContext::User),
        "assistant" => Ok(BlockContext::Assistant),
        // The field table admits no other word than `system`.
        _ => Ok(BlockContext::Instructions),
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
