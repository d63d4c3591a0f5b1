//! Client messages on the WebSocket that carries many chat turns.

use std::fmt;

use serde_json::json;

use super::decode;
use super::decode::ChatRequest;
use super::fields;
use crate::api::openai::Envelope;
use crate::api::openai::json;
use crate::api::openai::json::Marks;
use crate::api::openai::labels::MARK;
use crate::api::openai::labels::is_mark;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Shape::Text;
use crate::api::request_schema::Table;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::mended;
use crate::api::request_schema::printable;
use crate::api::request_schema::request;

/// Fields of every message.
static MESSAGE: Table = Table {
    prefix: "",
    fields: &[
        honoured(
            "type",
            Text,
            "Required. `chat`, `cancel`, `ping` or `auth`.",
        ),
        honoured("id", Text, "The client's name for a turn."),
    ],
};

/// Fields of an `auth` message.
static AUTH: Table = Table {
    prefix: "",
    fields: &[honoured(
        "api_key",
        Text,
        "Required. One of the server's keys.",
    )],
};

/// Message from the client.
pub enum Said {
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

impl Said {
    /// Returns the id of the turn that the message is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Chat { id, .. } => id.as_deref(),
            Self::Cancel { id } => Some(id),
            Self::Auth { .. } | Self::Ping => None,
        }
    }
}

impl fmt::Debug for Said {
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
/// If the message is malformed or asks for something unsupported.
pub fn hear(text: &str, policy: Policy) -> Result<Said, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    let body = &*mended(text.as_bytes(), &mut ignored)?;
    let mut message = request(body, &MESSAGE, "a `type`")?;
    let kind = message
        .take_text("type")?
        .ok_or_else(|| message.missing("type"))?;
    let id = message.take_text("id")?;
    if id.as_deref().is_some_and(|id| !is_mark(id)) {
        return Err(message.refuse("id", code::VALUE, MARK));
    }
    match kind.as_str() {
        "chat" => Ok(Said::Chat {
            id,
            request: Box::new(chat(message, body, ignored)?),
        }),
        "cancel" => {
            let id = id.ok_or_else(|| message.missing("id"))?;
            nothing_else(message).map(|()| Said::Cancel { id })
        }
        "ping" => nothing_else(message).map(|()| Said::Ping),
        "auth" => {
            let mut message = message.under(&AUTH);
            let api_key = message
                .take_text("api_key")?
                .ok_or_else(|| message.missing("api_key"))?;
            nothing_else(message).map(|()| Said::Auth { api_key })
        }
        _ => {
            let words = format!(
                "expected `chat`, `cancel`, `ping` or `auth`, got `{}`.",
                printable(&kind)
            );
            Err(message.refuse("type", code::VALUE, &words))
        }
    }
}

/// Refuses unknown fields under every policy: no client adds fields to these messages by default.
fn nothing_else(message: Object) -> Result<(), InvalidRequest> {
    message.finish(&mut Ignored::new(Policy::Strict))
}

fn chat(message: Object, body: &[u8], ignored: Ignored) -> Result<ChatRequest, InvalidRequest> {
    let mut request = message.under(&fields::REQUEST);
    // Without effect here: every answer streams and ends with its usage.
    request.take("stream")?;
    request.take("stream_options")?;
    let request = decode::read(request, body, ignored)?;
    if request.n > 1 {
        let message = "`n`: a turn of this socket has one answer. Ask for several turns, each with an `id` of its own.";
        return Err(InvalidRequest::at("n", code::UNSUPPORTED, message));
    }
    Ok(request)
}

/// Returns the turn id of a message that may otherwise be invalid.
pub fn id_of(text: &str) -> Option<String> {
    let message = json::read_tolerantly(text)?;
    let id = message.get("id")?.as_str()?;
    is_mark(id).then(|| id.to_owned())
}

/// Returns the turn id of a message without building the whole message in memory.
pub fn id_of_unread(text: &str) -> Option<String> {
    Marks::of(text).id.filter(|id| is_mark(id))
}

/// Serializes an error message. `status` is the HTTP status that the error would have;
/// `retry_after` is in milliseconds.
pub fn error_message(
    id: Option<&str>,
    envelope: &Envelope,
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
