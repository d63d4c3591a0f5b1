//! Wire form of conversations.

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::openai::json;

/// Conversation without its items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversation {
    /// Unique id: `conv_` and 32 random hexadecimal digits.
    pub id: String,
    /// Object type, always `conversation`.
    pub object: String,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
    /// Labels set by the client, as pairs of strings.
    pub metadata: Map<String, Value>,
}

impl Conversation {
    /// Creates a conversation with a new id; `now` is in seconds of Unix time.
    pub fn new(metadata: Map<String, Value>, now: u64) -> Self {
        let id = format!("conv_{}", uuid::Uuid::new_v4().simple());
        Self {
            id,
            object: "conversation".to_owned(),
            created_at: now,
            metadata,
        }
    }

    /// Serializes the conversation as a response body.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// Returns the body that confirms the deletion of a conversation.
pub fn deleted_body(id: &str) -> String {
    json::to_string(&json!({"id": id, "object": "conversation.deleted", "deleted": true}))
}
