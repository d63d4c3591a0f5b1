//! What a client keeps for the server and cannot read: the `encrypted_content` of items.
//!
//! It is not secret, only in a form that nobody takes for a thing to read or change: JSON in base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::openai::json;
use crate::domain::Thinking;

/// The content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sealed {
    /// Thoughts, with the seal upstream put on them.
    Thinking { text: String, signature: String },
    /// Thoughts that only upstream can read.
    Redacted(String),
    /// The items of a conversation.
    Conversation(Vec<Value>),
}

impl Sealed {
    /// The text for `encrypted_content`.
    pub(super) fn to_text(&self) -> String {
        BASE64_STANDARD.encode(json::to_string(self))
    }

    /// Reads such a text; none when this server did not write it.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()
    }

    /// The thoughts in it, if it is some.
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
    fn what_is_sealed_can_be_read_again_and_nothing_else() {
        for sealed in [
            Sealed::Thinking {
                text: "hm".into(),
                signature: "sig".into(),
            },
            Sealed::Redacted("data".into()),
            Sealed::Conversation(vec![serde_json::json!({"role": "user", "content": "hi"})]),
        ] {
            assert_eq!(Sealed::from_text(&sealed.to_text()), Some(sealed));
        }
        for text in ["", "gAAAAABo", "e30=", "bnVsbA=="] {
            assert_eq!(Sealed::from_text(text), None, "{text}");
        }
    }
}
