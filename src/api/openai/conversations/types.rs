//! What is told of conversations, and kept of them.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::openai::json;

/// A conversation without its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredConversation {
    /// `conv_` and 32 random hexadecimal digits.
    pub id: String,
    /// Always `conversation`.
    pub object: String,
    /// When it was made, in seconds of Unix time.
    pub created_at: u64,
    /// Labels.
    pub metadata: Map<String, Value>,
}

impl StoredConversation {
    /// A new one, made at `now`.
    pub fn new(metadata: Map<String, Value>, now: u64) -> Self {
        let id = format!("conv_{}", uuid::Uuid::new_v4().simple());
        Self {
            id,
            object: "conversation".to_owned(),
            created_at: now,
            metadata,
        }
    }

    /// The body that tells of it.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// The body that confirms that a conversation is gone.
pub fn deleted(id: &str) -> String {
    json::to_string(&json!({"id": id, "object": "conversation.deleted", "deleted": true}))
}
