//! Client messages on the WebSocket that carries many chat turns.

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use super::decode;
use super::decode::ChatRequest;
use super::fields;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::json;
use crate::api::openai::labels::CLIENT_CHOSEN_ID_RULE;
use crate::api::openai::labels::is_client_chosen_id;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ItemList;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request_with_items;
use crate::api::request_schema::printable;
use crate::api::request_schema::repair_characters;

/// Fields of every message.
pub static MESSAGE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("type", Text, "`chat`, `cancel`, `ping` or `auth`.").required(),
        honoured("id", Text, "The client's name for a turn."),
    ],
};

/// Fields of an `auth` message.
pub static AUTH: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured("api_key", Text, "One of the server's keys.").required()],
};

/// Field by which a message names its turn.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TurnIdField {
    id: Option<String>,
}

/// Message from the client.
pub enum ChatClientMessage {
    /// Authentication by an API key.
    Auth {
        /// API key of the client.
        api_key: String,
    },
    /// Request for a turn.
    Chat {
        /// Id of the turn, chosen by the client.
        id: Option<String>,
        /// Decoded request; `stream` and `include_usage` have no meaning here, and `n` is 1.
        request: Box<ChatRequest>,
    },
    /// Cancellation of a running turn.
    Cancel {
        /// Id of the turn.
        id: String,
    },
    /// Ping, to be answered with a pong.
    Ping,
}

impl ChatClientMessage {
    /// Returns the id of the turn that the message is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Chat { id, .. } => id.as_deref(),
            Self::Cancel { id } => Some(id),
            Self::Auth { .. } | Self::Ping => None,
        }
    }
}

impl fmt::Debug for ChatClientMessage {
    /// Writes the message type only: keys and prompts must not be logged.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auth { .. } => "Auth",
            Self::Chat { .. } => "Chat",
            Self::Cancel { .. } => "Cancel",
            Self::Ping => "Ping",
        })
    }
}

/// Parses a message of the client.
///
/// # Errors
/// Fails if the message is malformed or asks for something unsupported.
pub fn parse_message(text: &str, policy: Policy) -> Result<ChatClientMessage, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(text.as_bytes(), &mut ignored)?;
    let (mut message, messages) = parse_request_with_items(body, &MESSAGE, "a `type`", "messages")?;
    let kind = message.require_text("type")?;
    let id = message.take_text("id")?;
    if id.as_deref().is_some_and(|id| !is_client_chosen_id(id)) {
        return Err(message.invalid_field("id", code::VALUE, CLIENT_CHOSEN_ID_RULE));
    }
    match kind.as_str() {
        "chat" => Ok(ChatClientMessage::Chat {
            id,
            request: Box::new(read_chat(message, messages, body, ignored)?),
        }),
        "cancel" => {
            let id = id.ok_or_else(|| message.missing_field("id"))?;
            refuse_other_fields(message, messages.is_some())
                .map(|()| ChatClientMessage::Cancel { id })
        }
        "ping" => {
            refuse_other_fields(message, messages.is_some()).map(|()| ChatClientMessage::Ping)
        }
        "auth" => {
            let mut message = message.with_schema(&AUTH);
            let api_key = message.require_text("api_key")?;
            refuse_other_fields(message, messages.is_some())
                .map(|()| ChatClientMessage::Auth { api_key })
        }
        _ => {
            let words = format!(
                "expected `chat`, `cancel`, `ping` or `auth`, got `{}`.",
                printable(&kind)
            );
            Err(message.invalid_field("type", code::VALUE, &words))
        }
    }
}

/// Refuses unknown fields under every policy: no client adds fields to these messages by default.
fn refuse_other_fields(message: ObjectReader, has_messages: bool) -> Result<(), InvalidRequest> {
    if has_messages {
        let words = "only a message of the type `chat` has it.";
        return Err(message.invalid_field("messages", code::UNKNOWN, words));
    }
    message.finish(&mut RemarkCollector::new(Policy::Strict))
}

fn read_chat(
    message: ObjectReader,
    messages: Option<ItemList<'_>>,
    body: &[u8],
    ignored: RemarkCollector,
) -> Result<ChatRequest, InvalidRequest> {
    let mut request = message.with_schema(&fields::REQUEST);
    // Without effect here: every answer streams and ends with its usage.
    request.take("stream")?;
    request.take("stream_options")?;
    let request = decode::read_request(request, messages, body, ignored)?;
    if request.n > 1 {
        let message = "`n`: a turn of this socket has one answer. Ask for several turns, each with an `id` of its own.";
        return Err(InvalidRequest::at("n", code::UNSUPPORTED, message));
    }
    Ok(request)
}

/// Returns the turn id of a message that may otherwise be invalid, or have more structure than may
/// be parsed.
pub fn turn_id(text: &str) -> Option<String> {
    let TurnIdField { id } = json::scan_repaired_fields(text);
    id.filter(|id| is_client_chosen_id(id))
}

/// Returns the turn id of a message for which no memory was granted, and copies nothing else of it.
pub fn scan_turn_id(text: &str) -> Option<String> {
    let TurnIdField { id } = json::scan_fields(text);
    id.filter(|id| is_client_chosen_id(id))
}

/// Serializes an error message. `status` is the HTTP status that the error would have;
/// `retry_after` is in milliseconds.
pub fn error_message(
    id: Option<&str>,
    envelope: &OpenAiErrorEnvelope,
    status: u16,
    retry_after: Option<u64>,
) -> String {
    let error = json!({
        "type": envelope.r#type, "code": envelope.code, "message": envelope.message, "param": envelope.param,
    });
    let mut message = json!({"type": "error", "id": id, "status": status, "error": error});
    if let Some(wait) = retry_after {
        message["retry_after_ms"] = wait.into();
    }
    json::to_string(&message)
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
