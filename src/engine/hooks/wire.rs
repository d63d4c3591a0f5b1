//! Wire format of hooks, version 1: their inputs and answers as JSON.
//!
//! Later versions may add members. Members without a grant are absent.

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::error::HookFailure;
use crate::domain::Usage;

/// Version of the format.
pub(super) const WIRE_VERSION: u8 = 1;
/// Maximum size of an input and of an answer, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 8 << 20;

/// Point at which a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before a turn is run.
    Before,
    /// After a turn was answered.
    After,
    /// After a turn was refused or failed.
    Error,
    /// After a change of keys, budgets, tasks or batches.
    Event,
}

/// Actions that a hook may take at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOperation {
    /// Pass or refuse.
    Decide,
    /// Pass, refuse or replace.
    Transform,
    /// Only listen.
    Notify,
}

/// Input of a hook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HookInput {
    /// Version of the format.
    pub v: u8,
    /// Point at which the hook is called.
    pub point: HookPoint,
    /// Actions that the hook may take.
    pub op: HookOperation,
    /// Name of the hook.
    pub hook: Arc<str>,
    /// Facts about the request; `None` for an event.
    #[serde(flatten)]
    pub request: Option<Arc<RequestFacts>>,
    /// Parts of the request and its answer.
    #[serde(flatten)]
    pub content: HookContent,
}

/// Facts about a request that every hook gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestFacts {
    /// Id of the request.
    pub request_id: Arc<str>,
    /// API by which it came.
    pub surface: &'static str,
    /// Model as the caller named it.
    pub model: String,
    /// Key of the caller.
    pub key: HookKey,
    /// Id of the project.
    pub project: String,
    /// True if the answer is sent piece by piece.
    pub stream: bool,
}

/// Key of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookKey {
    /// Id of the key.
    pub name: String,
}

/// Parts of an input that depend on the point and on grants.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HookContent {
    /// Messages of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<WireMessage>>,
    /// Instructions of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Answer of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<WireAnswer>,
    /// Tokens of the turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<HookUsage>,
    /// Cost of the turn in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Error that the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
    /// End user that the request names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Event, in the form of webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
}

/// Message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WireMessage {
    /// Author of the message.
    pub role: WireRole,
    /// Parts of the message.
    pub content: Vec<WirePart>,
}

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireRole {
    /// The caller's side.
    User,
    /// The model's side.
    Assistant,
}

/// Part of a message, with its number in the request as `ref`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WirePart {
    /// Content of the part.
    #[serde(flatten)]
    pub content: WireContent,
    /// Number of the part in the request, by which a replaced message takes over what is not shown
    /// of it.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
}

/// Content of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WireContent {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// Tool call of the model.
    ToolCall {
        /// Name of the tool.
        name: String,
        /// Input of the call.
        input: Value,
    },
    /// Result of a tool call.
    ToolResult {
        /// Texts of the result.
        text: String,
    },
    /// Image, whose data is not shown.
    Image,
    /// Document, whose data is not shown.
    Document,
}

/// Answer of the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WireAnswer {
    /// Text of the answer.
    #[serde(default)]
    pub text: String,
    /// Tool calls of the answer.
    #[serde(default)]
    pub tool_calls: Vec<WireToolCall>,
    /// Reason why the answer ended: `stop`, `length`, `tool_calls` or `content_filter`.
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// Tool call of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WireToolCall {
    /// Id of the call; a new one if it is empty.
    #[serde(default)]
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Input of the call; the text so far if that is cut off.
    pub input: Value,
}

/// Tokens of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HookUsage {
    /// Prompt tokens outside of the prompt cache.
    pub input_tokens: u64,
    /// Prompt tokens written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Prompt tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// Error that a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireError {
    /// HTTP status of the response.
    pub status: u16,
    /// Code of the error; empty if it has none.
    pub code: String,
    /// Message of the error.
    pub message: String,
}

impl HookPoint {
    /// Returns the name of the point, as the configuration and metrics know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Error => "error",
            Self::Event => "event",
        }
    }
}

impl HookInput {
    /// Returns the input as JSON.
    ///
    /// # Errors
    /// Fails when it is larger than a hook may get.
    pub fn to_json(&self) -> Result<Vec<u8>, HookFailure> {
        let json = serde_json::to_vec(self).map_err(|_| HookFailure::InvalidInput)?;
        if json.len() > MAX_BODY_BYTES {
            return Err(HookFailure::TooLarge);
        }
        Ok(json)
    }
}

impl From<Usage> for HookUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
        }
    }
}
