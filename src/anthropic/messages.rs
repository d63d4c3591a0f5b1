//! From the messages of a request to the parts of a turn.

use serde_json::Value;

use super::content;
use super::content::Home;
use super::content::Instruction;
use super::fields;
use super::native;
use super::pairing::Pairing;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Written;
use crate::fields::code;
use crate::fields::printable;

/// The messages, sorted into what a turn is made of.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Instruction>,
    pub(super) history: Vec<Message>,
    /// Empty if the model is to go on with its last answer.
    pub(super) prompt: Vec<Part>,
}

/// Reads `value`, the array of messages.
pub(super) fn decode(
    value: Value,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Conversation, InvalidRequest> {
    let Value::Array(messages) = value else { return Err(no_user_message()) };
    let written = written.items();
    let mut conversation = Conversation::default();
    let mut pairing = Pairing::default();
    let mut last = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let message = Object::new(message, Place::at(format!("messages[{index}]"), &fields::MESSAGE))?;
        let place = message.place.clone();
        let (home, parts) = parts(message, written.get(index).copied().unwrap_or_default(), ignored)?;
        let role = match home {
            Home::User => Role::User,
            Home::Assistant => Role::Assistant,
            Home::Instructions | Home::Result => {
                conversation.system.extend(parts.into_iter().filter_map(content::instruction));
                continue;
            }
        };
        pairing.message(role, &parts, &place)?;
        conversation.say(role, parts);
        last = index;
    }
    match conversation.history.pop() {
        Some(Message { role: Role::User, parts }) => conversation.prompt = parts,
        // Anthropic goes on with what it has interrupted itself (`pause_turn`), and with nothing else.
        Some(message) if message.parts.iter().any(native::is_server_tool) => {
            conversation.history.push(message);
        }
        Some(Message { role: Role::Assistant, .. }) => return Err(prefill(last)),
        None => return Err(no_user_message()),
    }
    pairing.finish()?;
    Ok(conversation)
}

impl Conversation {
    /// Adds a message. Those of one role that follow each other are one.
    fn say(&mut self, role: Role, parts: Vec<Part>) {
        let parts = parts.into_iter().filter(|part| !content::is_blank(part));
        match self.history.last_mut().filter(|last| last.role == role) {
            Some(last) => last.parts.extend(parts),
            None => self.history.push(Message { role, parts: parts.collect() }),
        }
    }
}

fn no_user_message() -> InvalidRequest {
    let message = "`messages` has no message for Claude to answer. Add one with the role `user`.";
    InvalidRequest::at("messages", code::VALUE, message)
}

fn prefill(index: usize) -> InvalidRequest {
    let path = format!("messages[{index}].role");
    let message = format!(
        "`{path}`: the conversation ends with an assistant message, which the newest Claude models do not continue. \
         Add a message with the role `user` after it, or remove it."
    );
    InvalidRequest::at(path, code::VALUE, message)
}

/// Whose message it is, and its parts, of which not all are blank.
fn parts(
    mut message: Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<(Home, Vec<Part>), InvalidRequest> {
    let home = home(&mut message)?;
    let place = message.place.clone();
    let content = message.take("content")?.ok_or_else(|| message.missing("content"))?;
    message.finish(ignored)?;
    let parts = content::parts(content, written.field("content"), home, &place, ignored)?;
    if parts.iter().all(content::is_blank) {
        let path = place.field("content");
        let message = format!(
            "`{path}` is blank, and Claude takes no message without text. Write some, or remove the message."
        );
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    Ok((home, parts))
}

fn home(message: &mut Object) -> Result<Home, InvalidRequest> {
    let role = message.take_text("role")?.ok_or_else(|| message.missing("role"))?;
    match role.as_str() {
        "user" => Ok(Home::User),
        "assistant" => Ok(Home::Assistant),
        "system" => Ok(Home::Instructions),
        other => {
            let words = format!("expected `user`, `assistant` or `system`, got `{}`.", printable(other));
            Err(message.refuse("role", code::VALUE, &words))
        }
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
