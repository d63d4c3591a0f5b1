//! Decoding of the messages of a request.

use serde_json::Value;

use super::content;
use super::content::Home;
use super::content::Instruction;
use super::fields;
use super::native;
use crate::api::history;
use crate::api::history::Draft;
use crate::api::history::Piece;
use crate::api::history::Rules;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Written;
use crate::api::request_schema::check_length;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;

/// Rules for messages. Anthropic resumes only answers that it paused itself (`pause_turn`).
const RULES: Rules = Rules {
    field: "messages",
    merges: true,
    is_paused: native::is_server_tool,
};

/// Decoded messages, split into instructions, history and prompt.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Instruction>,
    pub(super) history: Vec<Message>,
    /// Prompt parts. Empty if the model continues its last answer.
    pub(super) prompt: Vec<Part>,
}

/// Decodes `value`, the array of messages, after the instructions `system`.
pub(super) fn decode(
    mut system: Vec<Instruction>,
    value: Value,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Conversation, InvalidRequest> {
    let Value::Array(messages) = value else {
        return Ok(Conversation::default());
    };
    check_length("messages", messages.len())?;
    let written = written.items();
    let mut draft = Draft::new(RULES);
    for (index, message) in messages.into_iter().enumerate() {
        let message = Object::new(
            message,
            Place::at(format!("messages[{index}]"), &fields::MESSAGE),
        )?;
        let path = message.place.field("content");
        let (home, parts) = parts(
            message,
            written.get(index).copied().unwrap_or_default(),
            ignored,
        )?;
        let role = match home {
            Home::User => Role::User,
            Home::Assistant => Role::Assistant,
            Home::Instructions | Home::Result => {
                if parts.iter().all(content::is_blank) {
                    history::note_empty(&path, ignored)?;
                }
                let said = parts.into_iter().filter(|part| !content::is_blank(part));
                if draft.is_empty() {
                    system.extend(said.filter_map(content::instruction));
                } else {
                    let said = said.flat_map(content::instruction_parts).enumerate();
                    draft.say(
                        Role::User,
                        path.as_str(),
                        said.map(|said| piece(&path, said)).collect(),
                    );
                }
                continue;
            }
        };
        draft.say(
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
    let history::Conversation { history, prompt } = draft.finish(instruction, ignored)?;
    Ok(Conversation {
        system,
        history,
        prompt,
    })
}

fn piece(path: &str, (index, part): (usize, Part)) -> Piece {
    Piece {
        part,
        path: format!("{path}[{index}]"),
    }
}

/// Decodes a message to its context and its parts.
fn parts(
    mut message: Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<(Home, Vec<Part>), InvalidRequest> {
    let home = home(&mut message)?;
    let place = message.place.clone();
    let content = message
        .take("content")?
        .ok_or_else(|| message.missing("content"))?;
    message.finish(ignored)?;
    let parts = content::parts(content, written.field("content"), home, &place, ignored)?;
    Ok((home, parts))
}

fn home(message: &mut Object) -> Result<Home, InvalidRequest> {
    let role = message
        .take_text("role")?
        .ok_or_else(|| message.missing("role"))?;
    match role.as_str() {
        "user" => Ok(Home::User),
        "assistant" => Ok(Home::Assistant),
        "system" => Ok(Home::Instructions),
        other => {
            let words = format!(
                "expected `user`, `assistant` or `system`, got `{}`.",
                printable(other)
            );
            Err(message.refuse("role", code::VALUE, &words))
        }
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
