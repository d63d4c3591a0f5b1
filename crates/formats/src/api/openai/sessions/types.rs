//! Wire form of sessions.

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::openai::json;
use crate::api::openai::list;
use crate::domain::Money;
use crate::domain::Usage;

/// Conversation stored by the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatSession {
    /// Unique id: `sess_` and 32 random hexadecimal digits.
    pub id: String,
    /// Object type, always `session`.
    pub object: String,
    /// Time of creation, in seconds of Unix time like all times here.
    pub created_at: u64,
    /// Time of the last complete answer, or of creation.
    pub last_active_at: u64,
    /// Expiry time, unless another message comes before.
    pub expires_at: u64,
    /// Model for messages that name no other.
    pub model: Option<String>,
    /// System instructions of the conversation.
    pub instructions: Option<String>,
    /// Labels set by the client, as pairs of strings.
    pub metadata: Map<String, Value>,
    /// Id of the project that owns the session.
    pub project_id: String,
    /// Number of stored messages, of both roles.
    pub message_count: usize,
    /// Usage of all answers together.
    pub usage: SessionUsage,
}

/// Sum of the usage of several answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SessionUsage {
    /// Number of prompt tokens.
    pub prompt_tokens: u64,
    /// Number of answer tokens.
    pub completion_tokens: u64,
    /// Sum of prompt and answer tokens.
    pub total_tokens: u64,
    /// Cost in US dollars, as far as it is known.
    pub cost_usd: f64,
}

/// Message of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionEntry {
    /// Unique id: `msg_` and 32 random hexadecimal digits.
    pub id: String,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
    /// Message in the form of a chat request.
    #[serde(flatten)]
    pub message: Value,
}

impl SessionUsage {
    /// Adds the usage of one more answer.
    pub fn add(&mut self, usage: &Usage) {
        self.prompt_tokens += usage.prompt_tokens();
        self.completion_tokens += usage.output_tokens;
        self.total_tokens += usage.total_tokens();
        self.cost_usd += usage.cost.map_or(0.0, Money::dollars);
    }
}

impl ChatSession {
    /// Serializes the session as a response body.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// Returns the body of a page of sessions.
pub fn list_body(sessions: &[ChatSession], has_more: bool) -> String {
    list::body(sessions, |session| Some(&session.id), has_more)
}

/// Returns the body of a page of messages.
pub fn entry_list_body(entries: &[SessionEntry], has_more: bool) -> String {
    list::body(entries, |entry| Some(&entry.id), has_more)
}

/// Returns the body that confirms the deletion of a session.
pub fn deleted_body(id: &str) -> String {
    json::to_string(&json!({"id": id, "object": "session.deleted", "deleted": true}))
}
