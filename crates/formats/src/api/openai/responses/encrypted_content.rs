//! Data that clients store for the server: the `encrypted_content` of items.
//!
//! Encoded, not encrypted: base64 of JSON, which clients are not meant to read or change.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::openai::json;
use crate::domain::Thinking;

/// Content of `encrypted_content`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncryptedContent {
    /// Thinking with the signature of Anthropic.
    Thinking { text: String, signature: String },
    /// Thinking that only Anthropic can read.
    Redacted(String),
    /// Items of a compacted conversation.
    Conversation(Vec<Value>),
}

impl EncryptedContent {
    /// Encodes the content as text.
    pub(super) fn to_text(&self) -> String {
        BASE64_STANDARD.encode(json::to_string(self))
    }

    /// Decodes the text; none unless this server encoded it.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()
    }

    /// Returns the thinking; none for a conversation.
    pub(super) fn into_thinking(self) -> Option<Thinking> {
        match self {
            Self::Thinking { text, signature } => Some(Thinking::Open { text, signature }),
            Self::Redacted(data) => Some(Thinking::Redacted(data)),
            Self::Conversation(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_content_round_trips_and_other_text_is_refused() {
        for sealed in [
            EncryptedContent::Thinking {
                text: "hm".into(),
                signature: "sig".into(),
            },
            EncryptedContent::Redacted("data".into()),
            EncryptedContent::Conversation(vec![
                serde_json::json!({"role": "user", "content": "hi"}),
            ]),
        ] {
            assert_eq!(EncryptedContent::from_text(&sealed.to_text()), Some(sealed));
        }
        for text in ["", "gAAAAABo", "e30=", "bnVsbA=="] {
            assert_eq!(EncryptedContent::from_text(text), None, "{text}");
        }
    }
}
