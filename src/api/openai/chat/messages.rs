//! Decoding of chat messages into instructions, history and prompt.

use serde_json::Value;

use super::calls;
use super::content;
use super::fields;
use super::speakers;
use crate::api::history;
use crate::api::history::Draft;
use crate::api::history::Piece;
use crate::api::history::Rules;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::check_length;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;

/// Rules for the conversation. No chat answer can be resumed after a pause, since it lacks the
/// blocks of Anthropic's server tools.
const RULES: Rules = Rules {
    field: "messages",
    merges: false,
    is_paused: |_| false,
};

/// Decoded messages, split as a turn needs them.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// Role of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Roles `system` and `developer`.
    Instructions,
    User,
    Assistant,
    /// Role `tool`: the result of a tool call.
    Tool,
    /// Role `function`: the result of a deprecated function call.
    Function,
}

/// Decodes `value`, the array of messages.
pub(super) fn decode(value: Value, ignored: &mut Ignored) -> Result<Conversation, InvalidRequest> {
    let Value::Array(messages) = value else {
        return Ok(Conversation::default());
    };
    check_length("messages", messages.len())?;
    let mut system = Vec::new();
    let mut draft = Draft::new(RULES);
    let has_speakers = speakers::are_several(&messages);
    for (index, message) in messages.into_iter().enumerate() {
        let message = Object::new(
            message,
            Place::at(format!("messages[{index}]"), &fields::MESSAGE),
        )?;
        add(&mut system, &mut draft, message, has_speakers, ignored)?;
    }
    let history::Conversation { history, prompt } = draft.finish(|| system.pop(), ignored)?;
    Ok(Conversation {
        system,
        history,
        prompt,
    })
}

fn add(
    system: &mut Vec<String>,
    draft: &mut Draft,
    mut message: Object,
    has_speakers: bool,
    ignored: &mut Ignored,
) -> Result<(), InvalidRequest> {
    let speaker = speaker(&mut message)?;
    refuse_misplaced(&mut message, speaker)?;
    let path = message.place.field("content");
    let mut parts = content(&mut message, speaker, ignored)?;
    if has_speakers && speaker == Speaker::User {
        speakers::put_name(&message.take_text("name")?.unwrap_or_default(), &mut parts);
    }
    let pieces = |parts: Vec<Part>| {
        parts
            .into_iter()
            .map(|part| Piece {
                part,
                path: path.clone(),
            })
            .collect()
    };
    let (role, pieces): (_, Vec<Piece>) = match speaker {
        Speaker::Instructions => {
            message.finish(ignored)?;
            if parts.is_empty() {
                history::note_empty(&path, ignored)?;
            }
            if draft.is_empty() {
                system.extend(parts.into_iter().filter_map(text));
            } else {
                draft.say(
                    Role::User,
                    path.as_str(),
                    pieces(parts.into_iter().map(as_instruction).collect()),
                );
            }
            return Ok(());
        }
        Speaker::Tool => (Role::User, vec![calls::result(&mut message, parts)?]),
        Speaker::Function => (Role::User, vec![calls::old_result(&mut message, parts)?]),
        Speaker::User => (Role::User, pieces(parts)),
        Speaker::Assistant => {
            let mut said: Vec<Piece> = pieces(parts);
            said.extend(calls::calls(&mut message, ignored)?);
            (Role::Assistant, said)
        }
    };
    message.finish(ignored)?;
    draft.say(role, path, pieces);
    Ok(())
}

/// Takes the content of a message as parts, without blank texts.
fn content(
    message: &mut Object,
    speaker: Speaker,
    ignored: &mut Ignored,
) -> Result<Vec<Part>, InvalidRequest> {
    // Part of an answer that the client sends back.
    message.take("reasoning_content")?;
    let content = message.take("content")?;
    let refusal = message.take_text("refusal")?;
    let mut parts = match content {
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => content::parts(parts, speaker, &message.place, ignored)?,
        // The field table admits strings and arrays only.
        _ => Vec::new(),
    };
    parts.extend(refusal.map(Part::Text));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    Ok(parts)
}

fn speaker(message: &mut Object) -> Result<Speaker, InvalidRequest> {
    let role = message
        .take_text("role")?
        .ok_or_else(|| message.missing("role"))?;
    match role.as_str() {
        "system" | "developer" => Ok(Speaker::Instructions),
        "user" => Ok(Speaker::User),
        "assistant" => Ok(Speaker::Assistant),
        "tool" => Ok(Speaker::Tool),
        "function" => Ok(Speaker::Function),
        other => Err(unexpected(
            message,
            "role",
            other,
            "`system`, `developer`, `user`, `assistant` or `tool`",
        )),
    }
}

fn text(part: Part) -> Option<String> {
    match part {
        Part::Text(text) => Some(text),
        Part::Instruction(_)
        | Part::GoOn
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::Native(_)
        | Part::CacheMark(_) => None,
    }
}

/// Turns the text of a system message within the conversation into an instruction.
fn as_instruction(part: Part) -> Part {
    if let Part::Text(text) = part {
        Part::Instruction(text)
    } else {
        part
    }
}

fn unexpected(object: &Object, field: &str, value: &str, expected: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}`: expected {expected}, got `{}`.", printable(value));
    InvalidRequest::at(path, code::VALUE, message)
}

/// Refuses fields that belong to messages of another role.
fn refuse_misplaced(message: &mut Object, speaker: Speaker) -> Result<(), InvalidRequest> {
    const ASSISTANT: &str = "assistant messages";
    let homes = [
        ("refusal", Speaker::Assistant, ASSISTANT),
        ("tool_calls", Speaker::Assistant, ASSISTANT),
        ("function_call", Speaker::Assistant, ASSISTANT),
        ("tool_call_id", Speaker::Tool, "messages of the role `tool`"),
    ];
    for (field, home, words) in homes {
        if speaker != home
            && message
                .take(field)?
                .is_some_and(|value| value != Value::Array(Vec::new()))
        {
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
