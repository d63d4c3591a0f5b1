//! Message to a session: a chat request with the new messages only; the server holds the earlier
//! ones.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::openai::chat;
use crate::api::openai::chat::ChatAnswer;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::json;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;
use crate::domain::ToolUse;

/// Fields of the new messages; all other fields are those of a chat request.
pub static NEW: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "content",
            FieldType::TextOrArray,
            "Required. The user's message: a string, or an array of parts.",
        )
        .with_inner(&chat::PART),
        honoured(
            "messages",
            FieldType::Array,
            "Instead of `content`: messages of the roles `user`, `assistant` and `tool`, for the results of calls and for a conversation that began elsewhere. The last is of the role `user` or `tool`.",
        )
        .with_inner(&chat::MESSAGE),
    ],
};

/// Stored state of a session, which a message continues.
#[derive(Debug, Clone, Copy)]
pub struct SessionContext<'a> {
    /// Model of the session, if it has one.
    pub model: Option<&'a str>,
    /// System instructions of the conversation.
    pub instructions: Option<&'a str>,
    /// Earlier messages, in the form of a chat request.
    pub messages: &'a [&'a Value],
}

/// Decoded message to a session.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRequest {
    /// Chat request with the whole conversation.
    pub chat: ChatRequest,
    /// New messages, to be stored.
    pub new_messages: Vec<Value>,
}

/// Decodes the body of `POST /v1/sessions/{id}/messages`, which continues `earlier`.
///
/// # Errors
/// Fails if the body is malformed or asks for something unsupported.
pub fn decode_session_message(
    body: &[u8],
    earlier: &SessionContext<'_>,
    policy: Policy,
) -> Result<MessageRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let mut request = parse_request(body, &NEW, "`content`")?;
    let content = request.take("content")?;
    let messages = request.take("messages")?;
    let is_content = content.is_some();
    let new = match (content, messages) {
        (Some(_), Some(_)) => {
            return Err(request.invalid_field(
                "messages",
                code::VALUE,
                "it takes the place of `content`. Remove one.",
            ));
        }
        (Some(content), None) => vec![json!({"role": "user", "content": content})],
        (None, Some(Value::Array(messages))) if !messages.is_empty() => messages,
        _ => return Err(request.missing_field("content")),
    };
    check_roles(&new)?;
    let instructions = earlier
        .instructions
        .map(|text| json!({"role": "system", "content": text}));
    let prepended = earlier.messages.len() + instructions.iter().len();
    let messages: Vec<&Value> = instructions
        .iter()
        .chain(earlier.messages.iter().copied())
        .chain(&new)
        .collect();
    let whole = full_request_body(body, earlier.model, &messages);
    let mut chat = chat::decode(whole.as_bytes(), policy)
        .map_err(|error| with_client_path(error, prepended, is_content))?;
    if chat.n > 1 {
        let message = "`n`: a message to a session has one answer. Remove it, or send 1.";
        return Err(InvalidRequest::at("n", code::UNSUPPORTED, message));
    }
    chat.remarks
        .repaired
        .extend(ignored.into_remarks().repaired);
    chat.remarks.repaired.sort_unstable();
    Ok(MessageRequest {
        chat,
        new_messages: new,
    })
}

/// Converts the answer to a message in stored form.
pub fn assistant_message(answer: &ChatAnswer) -> Value {
    let call = |call: &ToolUse| {
        let arguments = if call.input.is_empty() {
            "{}"
        } else {
            &call.input
        };
        json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
    };
    let mut message = json!({"role": "assistant", "content": answer.text});
    if !answer.calls.is_empty() {
        message["tool_calls"] = answer.calls.iter().map(call).collect();
    }
    message
}

/// Lets in what a conversation has. Its instructions belong to the session, and the last message is
/// one that Claude can answer.
fn check_roles(messages: &[Value]) -> Result<(), InvalidRequest> {
    let last = messages.len().saturating_sub(1);
    let is_allowed = |index: usize, message: &Value| {
        message
            .get("role")
            .and_then(Value::as_str)
            .is_none_or(|role| match role {
                "user" | "tool" => true,
                "assistant" => index < last,
                _ => false,
            })
    };
    let Some(index) = messages
        .iter()
        .enumerate()
        .position(|(index, message)| !is_allowed(index, message))
    else {
        return Ok(());
    };
    let path = format!("messages[{index}].role");
    let message = format!(
        "`{path}`: expected `user`, `assistant` or `tool`, and `user` or `tool` in the last message."
    );
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// Returns `body` with `messages` in place of the new ones. Other fields keep the client's JSON
/// byte for byte, since tool schemas reach Claude as written.
fn full_request_body(body: &[u8], model: Option<&str>, messages: &[&Value]) -> String {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    // A `null` counts as absent, so that the model of the session applies.
    fields.retain(|name, value| {
        !["content", "messages"].contains(&name.as_str()) && value.get() != "null"
    });
    let mut parts: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{}", json::to_string(name), value.get()))
        .collect();
    if let (Some(model), false) = (model, fields.contains_key("model")) {
        parts.push(format!(r#""model":{}"#, json::to_string(model)));
    }
    parts.push(format!(r#""messages":{}"#, json::to_string(messages)));
    format!("{{{}}}", parts.join(","))
}

/// Rewrites the path in the error to the client's request, which lacks the `prepended` messages in
/// front.
fn with_client_path(error: InvalidRequest, prepended: usize, is_content: bool) -> InvalidRequest {
    let Some((number, rest)) = error
        .param
        .as_deref()
        .and_then(|param| param.strip_prefix("messages["))
        .and_then(|rest| rest.split_once(']'))
    else {
        return error;
    };
    let number = number.parse().unwrap_or(0_usize);
    let path = match number.checked_sub(prepended) {
        Some(_) if is_content => rest.trim_start_matches('.').to_owned(),
        Some(index) => format!("messages[{index}]{rest}"),
        // The fault depends on an earlier message.
        None if is_content => "content".to_owned(),
        None => "messages".to_owned(),
    };
    let message = error
        .message
        .replace(&format!("messages[{number}]{rest}"), &path);
    InvalidRequest {
        message,
        param: Some(path),
        ..error
    }
}
