//! Decoding of chat messages into instructions, history and prompt.

use serde_json::Value;

use super::calls;
use super::content;
use super::fields;
use super::participants;
use crate::api::history;
use crate::api::history::DraftPart;
use crate::api::history::DraftRules;
use crate::api::history::HistoryDraft;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ItemList;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::check_length;
use crate::api::request_schema::code;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;

/// Rules for the conversation. No chat answer can be resumed after a pause, since it lacks the
/// blocks of Anthropic's server tools.
const RULES: DraftRules = DraftRules {
    field: "messages",
    merges: false,
    is_paused: |_| false,
};

/// Decoded messages, split as a turn needs them.
#[derive(Debug, Default)]
pub(super) struct ChatConversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// Role of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChatRole {
    /// Roles `system` and `developer`.
    Instructions,
    User,
    Assistant,
    /// Role `tool`: the result of a tool call.
    Tool,
    /// Role `function`: the result of a deprecated function call.
    Function,
}

/// Decodes the messages of a request.
pub(super) fn decode(
    messages: ItemList<'_>,
    ignored: &mut RemarkCollector,
) -> Result<ChatConversation, InvalidRequest> {
    check_length("messages", messages.count())?;
    let mut system = Vec::new();
    let mut draft = HistoryDraft::new(RULES);
    let has_several_names = participants::has_several_names(&messages);
    for (index, message) in messages.parse_each().enumerate() {
        let message = ObjectReader::new(
            message?,
            ObjectPath::at(format!("messages[{index}]"), &fields::MESSAGE),
        )?;
        add_message(&mut system, &mut draft, message, has_several_names, ignored)?;
    }
    let history::RepairedConversation { history, prompt } =
        draft.finish(|| system.pop(), ignored)?;
    Ok(ChatConversation {
        system,
        history,
        prompt,
    })
}

fn add_message(
    system: &mut Vec<String>,
    draft: &mut HistoryDraft,
    mut message: ObjectReader,
    has_several_names: bool,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let chat_role = take_role(&mut message)?;
    refuse_misplaced(&mut message, chat_role)?;
    let path = message.place.field("content");
    let mut parts = take_content(&mut message, chat_role, ignored)?;
    if has_several_names && chat_role == ChatRole::User {
        participants::prefix_name(&message.take_text("name")?.unwrap_or_default(), &mut parts);
    }
    let pieces = |parts: Vec<Part>| {
        parts
            .into_iter()
            .map(|part| DraftPart {
                part,
                path: path.clone(),
            })
            .collect()
    };
    let (role, pieces): (_, Vec<DraftPart>) = match chat_role {
        ChatRole::Instructions => {
            message.finish(ignored)?;
            if parts.is_empty() {
                history::report_empty(&path, ignored)?;
            }
            if draft.is_empty() {
                system.extend(parts.into_iter().filter_map(into_text));
            } else {
                draft.add_message(
                    Role::User,
                    path.as_str(),
                    pieces(parts.into_iter().map(as_instruction).collect()),
                );
            }
            return Ok(());
        }
        ChatRole::Tool => (Role::User, vec![calls::tool_result(&mut message, parts)?]),
        ChatRole::Function => (Role::User, vec![calls::legacy_result(&mut message, parts)?]),
        ChatRole::User => (Role::User, pieces(parts)),
        ChatRole::Assistant => {
            let mut said: Vec<DraftPart> = pieces(parts);
            said.extend(calls::take_calls(&mut message, ignored)?);
            (Role::Assistant, said)
        }
    };
    message.finish(ignored)?;
    draft.add_message(role, path, pieces);
    Ok(())
}

/// Takes the content of a message as parts, without blank texts.
fn take_content(
    message: &mut ObjectReader,
    chat_role: ChatRole,
    ignored: &mut RemarkCollector,
) -> Result<Vec<Part>, InvalidRequest> {
    // Part of an answer that the client sends back.
    message.take("reasoning_content")?;
    let content = message.take("content")?;
    let refusal = message.take_text("refusal")?;
    let mut parts = match content {
        Some(Value::String(text)) => vec![Part::Text(text)],
        Some(Value::Array(parts)) => {
            content::read_parts(parts, chat_role, &message.place, ignored)?
        }
        // The field table admits strings and arrays only.
        _ => Vec::new(),
    };
    parts.extend(refusal.map(Part::Text));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    Ok(parts)
}

fn take_role(message: &mut ObjectReader) -> Result<ChatRole, InvalidRequest> {
    let role = message.require_text("role")?;
    match role.as_str() {
        "system" | "developer" => Ok(ChatRole::Instructions),
        "user" => Ok(ChatRole::User),
        "assistant" => Ok(ChatRole::Assistant),
        "tool" => Ok(ChatRole::Tool),
        // The field table admits no other word than `function`.
        _ => Ok(ChatRole::Function),
    }
}

fn into_text(part: Part) -> Option<String> {
    match part {
        Part::Text(text) => Some(text),
        Part::Instruction(_)
        | Part::Continue
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::Native(_)
        | Part::CacheBreakpoint(_) => None,
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

/// Refuses fields that belong to messages of another role.
fn refuse_misplaced(message: &mut ObjectReader, chat_role: ChatRole) -> Result<(), InvalidRequest> {
    const ASSISTANT: &str = "assistant messages";
    let homes = [
        ("refusal", ChatRole::Assistant, ASSISTANT),
        ("tool_calls", ChatRole::Assistant, ASSISTANT),
        ("function_call", ChatRole::Assistant, ASSISTANT),
        (
            "tool_call_id",
            ChatRole::Tool,
            "messages of the role `tool`",
        ),
    ];
    for (field, home, words) in homes {
        if chat_role != home
            && message
                .take(field)?
                .is_some_and(|value| value != Value::Array(Vec::new()))
        {
            return Err(misplaced_field(message, field, words));
        }
    }
    Ok(())
}

fn misplaced_field(object: &ObjectReader, field: &str, home: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}` belongs only to {home}. Remove it.");
    InvalidRequest::at(path, code::VALUE, message)
}
