//! From the messages of a request to the parts of a turn.

use serde_json::Value;

use super::calls;
use super::calls::Calls;
use super::content;
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
    /// The result of a call.
    Tool,
    /// The result of a call in its old form.
    Function,
}

/// Reads `value`, the array of messages.
pub(super) fn decode(value: Value, ignored: &mut Ignored) -> Result<Conversation, InvalidRequest> {
    let Value::Array(messages) = value else { return Err(no_user_message()) };
    let mut conversation = Conversation::default();
    let mut calls = Calls::default();
    let mut last = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let message = Object::new(message, calls::place(index))?;
        if add(&mut conversation, &mut calls, message, index, ignored)? != Speaker::Instructions {
            last = index;
        }
    }
    calls.check_answered()?;
    match conversation.history.pop() {
        Some(Message { role: Role::User, parts }) => conversation.prompt = parts,
        Some(Message { role: Role::Assistant, .. }) => return Err(prefill(last)),
        None => return Err(no_user_message()),
    }
    Ok(conversation)
}

/// Adds the message with the number `index`; `calls` knows those of the answer before it.
fn add(
    conversation: &mut Conversation,
    calls: &mut Calls,
    mut message: Object,
    index: usize,
    ignored: &mut Ignored,
) -> Result<Speaker, InvalidRequest> {
    let speaker = speaker(&mut message)?;
    let place = message.place.clone();
    refuse_misplaced(&mut message, speaker)?;
    let content = content(&mut message, speaker, ignored)?;
    let is_missing = content.is_none();
    let mut parts = content.unwrap_or_default();
    match speaker {
        Speaker::Instructions => {}
        Speaker::Tool | Speaker::Function => {
            let result = match speaker {
                Speaker::Tool => calls.result(&mut message, parts)?,
                _ => calls.old_result(&mut message, parts)?,
            };
            message.finish(ignored)?;
            calls::push_result(&mut conversation.history, result);
            return Ok(speaker);
        }
        Speaker::User => calls.check_answered()?,
        Speaker::Assistant => {
            calls.check_answered()?;
            parts.extend(calls.begin(&mut message, format!("messages[{index}]"), ignored)?);
        }
    }
    message.finish(ignored)?;
    if parts.is_empty() {
        // An answer that was cut off before its first word is sent back so.
        return if speaker == Speaker::Assistant { Ok(speaker) } else { Err(blank(&place, is_missing)) };
    }
    match speaker {
        Speaker::Instructions => conversation.system.extend(parts.into_iter().filter_map(text)),
        Speaker::Assistant => conversation.history.push(Message { role: Role::Assistant, parts }),
        _ => conversation.history.push(Message { role: Role::User, parts }),
    }
    Ok(speaker)
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

/// The parts of a message's content that are not blank; `None` when it has no content.
fn content(
    message: &mut Object,
    speaker: Speaker,
    ignored: &mut Ignored,
) -> Result<Option<Vec<Part>>, InvalidRequest> {
    // A client may send an answer back as it came.
    message.take("reasoning_content")?;
    let content = message.take("content")?;
    let refusal = message.take_text("refusal")?;
    let mut parts = match content {
        None if refusal.is_none() => return Ok(None),
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => content::parts(parts, speaker, &message.place, ignored)?,
        // The table lets nothing else through.
        _ => Vec::new(),
    };
    parts.extend(refusal.map(Part::Text));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    Ok(Some(parts))
}

fn blank(place: &Place, is_missing: bool) -> InvalidRequest {
    let path = place.field("content");
    let (code, state) = if is_missing { (code::MISSING, "is missing") } else { (code::VALUE, "is blank") };
    let message = format!(
        "`{path}` {state}, and Claude takes no message without text. Write some, or remove the message."
    );
    InvalidRequest::at(path, code, message)
}

fn speaker(message: &mut Object) -> Result<Speaker, InvalidRequest> {
    let role = message.take_text("role")?.ok_or_else(|| message.missing("role"))?;
    match role.as_str() {
        "system" | "developer" => Ok(Speaker::Instructions),
        "user" => Ok(Speaker::User),
        "assistant" => Ok(Speaker::Assistant),
        "tool" => Ok(Speaker::Tool),
        "function" => Ok(Speaker::Function),
        other => {
            Err(unexpected(message, "role", other, "`system`, `developer`, `user`, `assistant` or `tool`"))
        }
    }
}

fn text(part: Part) -> Option<String> {
    match part {
        Part::Text(text) => Some(text),
        Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::Native(_)
        | Part::CacheMark(_) => None,
    }
}

fn unexpected(object: &Object, field: &str, value: &str, expected: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}`: expected {expected}, got `{}`.", printable(value));
    InvalidRequest::at(path, code::VALUE, message)
}

/// Refuses what belongs to another speaker.
fn refuse_misplaced(message: &mut Object, speaker: Speaker) -> Result<(), InvalidRequest> {
    const ASSISTANT: &str = "assistant messages";
    let homes = [
        ("refusal", Speaker::Assistant, ASSISTANT),
        ("tool_calls", Speaker::Assistant, ASSISTANT),
        ("function_call", Speaker::Assistant, ASSISTANT),
        ("tool_call_id", Speaker::Tool, "messages of the role `tool`"),
    ];
    for (field, home, words) in homes {
        if speaker != home && message.take(field)?.is_some_and(|value| value != Value::Array(Vec::new())) {
            return Err(misplaced(message, field, words));
        }
    }
    Ok(())
}

fn misplaced(object: &Object, field: &str, home: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}` belongs only to {home}. Remove it.");
    InvalidRequest::at(path, code::VALUE, message)
}
