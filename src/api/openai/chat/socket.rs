//! What a client says on the WebSocket of many turns.

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

/// What every message may have.
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

/// What `auth` has.
static AUTH: Table = Table {
    prefix: "",
    fields: &[honoured(
        "api_key",
        Text,
        "Required. One of the server's keys.",
    )],
};

/// A message of a client.
pub enum Said {
    /// Who it is.
    Auth {
        /// One of the server's keys.
        api_key: String,
    },
    /// A turn is wanted.
    Chat {
        /// The client's name for it.
        id: Option<String>,
        /// What is wanted; `stream` and `include_usage` mean nothing, and `n` is 1.
        request: Box<ChatRequest>,
    },
    /// A turn is no longer wanted.
    Cancel {
        /// Its name.
        id: String,
    },
    /// Is anybody there?
    Ping,
}

impl Said {
    /// The name of the turn that it is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Chat { id, .. } => id.as_deref(),
            Self::Cancel { id } => Some(id),
            Self::Auth { .. } | Self::Ping => None,
        }
    }
}

impl fmt::Debug for Said {
    /// Leaves out keys and prompts.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auth { .. } => "Auth",
            Self::Chat { .. } => "Chat",
            Self::Cancel { .. } => "Cancel",
            Self::Ping => "Ping",
        })
    }
}

/// Reads a message.
///
/// # Errors
/// When it is none, or asks for something that is not served.
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

/// Unknown fields of these messages are always refused: no client sends any by default.
fn nothing_else(message: Object) -> Result<(), InvalidRequest> {
    message.finish(&mut Ignored::new(Policy::Strict))
}

fn chat(message: Object, body: &[u8], ignored: Ignored) -> Result<ChatRequest, InvalidRequest> {
    let mut request = message.under(&fields::REQUEST);
    // They mean nothing here: every answer streams, with its usage at the end.
    request.take("stream")?;
    request.take("stream_options")?;
    let request = decode::read(request, body, ignored)?;
    if request.n > 1 {
        let message = "`n`: a turn of this socket has one answer. Ask for several turns, each with an `id` of its own.";
        return Err(InvalidRequest::at("n", code::UNSUPPORTED, message));
    }
    Ok(request)
}

/// The name of the turn that a message is about, whatever else is wrong with it.
pub fn id_of(text: &str) -> Option<String> {
    let message = json::read_tolerantly(text)?;
    let id = message.get("id")?.as_str()?;
    is_mark(id).then(|| id.to_owned())
}

/// As [`id_of`], of a message for which there is no memory to read it.
pub fn id_of_unread(text: &str) -> Option<String> {
    Marks::of(text).id.filter(|id| is_mark(id))
}

/// A failure, as the text of a message. `status` is what it would be over HTTP, `retry_after` in milliseconds.
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
