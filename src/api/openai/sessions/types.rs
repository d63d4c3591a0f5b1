//! What is told of sessions, and kept of them.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::openai::json;
use crate::api::openai::list;
use crate::domain::Money;
use crate::domain::Usage;

/// A conversation that the server keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `sess_` and 32 random hexadecimal digits.
    pub id: String,
    /// Always `session`.
    pub object: String,
    /// In seconds of Unix time, as all times here.
    pub created_at: u64,
    /// When its last answer was whole, or it was made.
    pub last_active_at: u64,
    /// When it goes, unless something is said before.
    pub expires_at: u64,
    /// The model of messages that name none.
    pub model: Option<String>,
    /// What precedes the conversation.
    pub instructions: Option<String>,
    /// Labels.
    pub metadata: Map<String, Value>,
    /// Whose it is.
    pub project_id: String,
    /// Messages that are kept, of both sides.
    pub message_count: usize,
    /// What its answers took.
    pub usage: Totals,
}

/// What several answers took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Dollars, as far as they are known.
    pub cost_usd: f64,
}

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `msg_` and 32 random hexadecimal digits.
    pub id: String,
    /// In seconds of Unix time.
    pub created_at: u64,
    /// As it is sent in a chat.
    #[serde(flatten)]
    pub message: Value,
}

impl Totals {
    /// Adds what one more answer took.
    pub fn add(&mut self, usage: &Usage) {
        self.prompt_tokens += usage.prompt_tokens();
        self.completion_tokens += usage.output_tokens;
        self.total_tokens += usage.total_tokens();
        self.cost_usd += usage.cost.map_or(0.0, Money::dollars);
    }
}

impl Session {
    /// The body that tells of it.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// The body of a page of sessions.
pub fn list(sessions: &[Session], has_more: bool) -> String {
    list::body(sessions, |session| Some(&session.id), has_more)
}

/// The body of a page of messages.
pub fn entries(entries: &[Entry], has_more: bool) -> String {
    list::body(entries, |entry| Some(&entry.id), has_more)
}

/// The body that confirms that a session is gone.
pub fn deleted(id: &str) -> String {
    json::to_string(&json!({"id": id, "object": "session.deleted", "deleted": true}))
}
