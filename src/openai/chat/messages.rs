//! From the messages of a request to the parts of a turn.

use serde_json::Value;

use super::content;
use super::fields;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::code;
use crate::fields::printable;

/// The messages, sorted into what a turn is made of.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// `system` or `developer`.
    Instructions,
    User,
    Assistant,
}

/// Reads `value`, the array of messages.
pub(super) fn decode(value: Value, ignored: &mut Ignored) -> Result<Conversation, InvalidRequest> {
    let Value::Array(messages) = value else { return Err(no_user_message()) };
    let mut conversation = Conversation::default();
    let mut last = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let message = Object::new(message, Place::at(format!("messages[{index}]"), &fields::MESSAGE))?;
        let (speaker, parts) = parts(message, ignored)?;
        let role = match speaker {
            Speaker::Instructions => {
                conversation.system.extend(parts.into_iter().filter_map(text));
                continue;
            }
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        conversation.history.push(Message { role, parts });
        last = index;
    }
    match conversation.history.pop() {
        Some(Message { role: Role::User, parts }) => conversation.prompt = parts,
        Some(Message { role: Role::Assistant, .. }) => return Err(prefill(last)),
        None => return Err(no_user_message()),
    }
    Ok(conversation)
}

fn no_user_message() -> InvalidRequest {
    let message = "`messages` has no message for Claude to answer. Add one with the role `user`.";
    InvalidRequest::at("messages", code::VALUE, message)
}

fn prefill(index: usize) -> InvalidRequest {
    let path = format!("messages[{index}].role");
    let message = format!(
        "`{path}`: the conversation ends with an assistant message, which Claude cannot continue. \
         Add a message with the role `user` after it, or remove it."
    );
    InvalidRequest::at(path, code::VALUE, message)
}

fn parts(mut message: Object, ignored: &mut Ignored) -> Result<(Speaker, Vec<Part>), InvalidRequest> {
    let speaker = speaker(&mut message)?;
    let place = message.place.clone();
    let content = message.take("content")?;
    let refusal = message.take_text("refusal")?;
    if refusal.is_some() && speaker != Speaker::Assistant {
        return Err(misplaced(&message, "refusal", "assistant messages"));
    }
    let is_missing = content.is_none();
    message.finish(ignored)?;
    let mut parts = match content {
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => content::parts(parts, speaker, &place, ignored)?,
        // The table lets nothing else through.
        _ => Vec::new(),
    };
    parts.extend(refusal.map(Part::Text));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    if parts.is_empty() {
        let path = place.field("content");
        let (code, state) =
            if is_missing { (code::MISSING, "is missing") } else { (code::VALUE, "is blank") };
        let message = format!(
            "`{path}` {state}, and Claude takes no message without text. Write some, or remove the message."
        );
        return Err(InvalidRequest::at(path, code, message));
    }
    Ok((speaker, parts))
}

fn speaker(message: &mut Object) -> Result<Speaker, InvalidRequest> {
    let role = message.take_text("role")?.ok_or_else(|| message.missing("role"))?;
    match role.as_str() {
        "system" | "developer" => Ok(Speaker::Instructions),
        "user" => Ok(Speaker::User),
        "assistant" => Ok(Speaker::Assistant),
        "tool" | "function" => {
            let path = message.place.field("role");
            let message = format!("`{path}`: messages of role `{role}` are not supported yet. Remove them.");
            Err(InvalidRequest::at(path, code::UNSUPPORTED, message))
        }
        other => Err(unexpected(message, "role", other, "`system`, `developer`, `user` or `assistant`")),
    }
}

fn text(part: Part) -> Option<String> {
    match part {
        Part::Text(text) => Some(text),
        Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_) => None,
    }
}

fn unexpected(object: &Object, field: &str, value: &str, expected: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}`: expected {expected}, got `{}`.", printable(value));
    InvalidRequest::at(path, code::VALUE, message)
}

fn misplaced(object: &Object, field: &str, home: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}` belongs only to {home}. Remove it.");
    InvalidRequest::at(path, code::VALUE, message)
}
