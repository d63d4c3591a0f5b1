//! An answer as one body.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use super::types::AssistantMessage;
use super::types::Choice;
use super::types::Completion;
use super::types::CompletionUsage;
use super::types::finish_reason;
use crate::domain::Finish;
use crate::openai::json;

/// What every body and every chunk of one answer has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `chatcmpl-` and 32 random hexadecimal digits.
    pub id: String,
    /// When the answer was begun, in seconds of Unix time.
    pub created: u64,
    /// The model's name as the client wrote it.
    pub model: String,
}

impl Reply {
    /// A reply with a new id, begun now, from the model that the client called `model`.
    pub fn new(model: impl Into<String>) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()), created, model: model.into() }
    }

    /// The whole answer, after what the model thought: a `chat.completion`.
    pub fn response(&self, thinking: &str, text: &str, finish: &Finish) -> Vec<u8> {
        let message = AssistantMessage {
            role: "assistant",
            content: text,
            reasoning_content: thinking,
            refusal: (),
            annotations: [],
        };
        let reason = finish_reason(finish.reason);
        let completion = Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: [Choice { index: 0, message, logprobs: (), finish_reason: reason }],
            usage: CompletionUsage::from(&finish.usage),
        };
        json::to_string(&completion).into_bytes()
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
