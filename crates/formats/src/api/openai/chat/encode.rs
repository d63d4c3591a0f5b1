//! Whole chat completion body.

use super::answer::ChatAnswer;
use super::custom_tools::CUSTOM;
use super::tools::ToolCallFormat;
use super::types::AssistantMessage;
use super::types::ChatChoice;
use super::types::ChatCompletion;
use super::types::CompletionUsage;
use super::types::CustomCall;
use super::types::FunctionCall;
use super::types::ToolCall;
use super::types::finish_reason_in_format;
use crate::api::openai::REFUSAL;
use crate::api::openai::custom_input;
use crate::api::openai::json;
use crate::domain::FinishReason;
use crate::domain::ToolUse;
use crate::domain::Usage;
use crate::domain::unix_now;

/// Fields that the body, or all chunks, of one chat completion share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatReply {
    /// Unique id: `chatcmpl-` and 32 random hexadecimal digits.
    pub id: String,
    /// Time of creation, in seconds of Unix time.
    pub created: u64,
    /// Name of the model, as the client wrote it.
    pub model: String,
    /// Format in which tool calls are written.
    pub tool_call_format: ToolCallFormat,
}

impl ChatReply {
    /// Creates a reply with a new id, dated now; `model` is the name that the client wrote.
    pub fn new(model: impl Into<String>) -> Self {
        let created = unix_now();
        let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
        Self {
            id,
            created,
            model: model.into(),
            tool_call_format: ToolCallFormat::Tools,
        }
    }

    /// Serializes a whole `chat.completion` with one choice for each of `answers`.
    pub fn response(&self, answers: &[ChatAnswer]) -> Vec<u8> {
        let finishes = answers.iter().filter_map(|answer| answer.finish.as_ref());
        let usage = finishes.fold(Usage::default(), |sum, finish| sum + finish.usage);
        let completion = ChatCompletion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: answers
                .iter()
                .enumerate()
                .map(|(index, answer)| self.choice(index, answer))
                .collect(),
            usage: CompletionUsage::from(&usage),
        };
        json::to_string(&completion).into_bytes()
    }

    fn choice<'a>(&self, index: usize, answer: &'a ChatAnswer) -> ChatChoice<'a> {
        let reason = answer
            .finish
            .as_ref()
            .map_or(FinishReason::Stop, |finish| finish.reason);
        let is_refused = reason == FinishReason::ContentFilter;
        let is_without_text = answer.text.is_empty() && (is_refused || !answer.calls.is_empty());
        let mut message = AssistantMessage {
            role: "assistant",
            content: (!is_without_text).then_some(&answer.text),
            reasoning_content: &answer.thinking,
            refusal: is_refused.then_some(REFUSAL),
            annotations: answer.annotations.iter().map(Into::into).collect(),
            tool_calls: Vec::new(),
            function_call: None,
        };
        match &self.tool_call_format {
            ToolCallFormat::Tools | ToolCallFormat::Custom(_) => {
                message.tool_calls = answer
                    .calls
                    .iter()
                    .map(|call| self.tool_call(call))
                    .collect();
            }
            ToolCallFormat::Functions => {
                message.function_call = answer.calls.first().map(function_call);
            }
        }
        ChatChoice {
            index,
            message,
            logprobs: (),
            finish_reason: finish_reason_in_format(reason, &self.tool_call_format),
        }
    }

    fn tool_call<'a>(&self, call: &'a ToolUse) -> ToolCall<'a> {
        if self.tool_call_format.is_custom(&call.name) {
            let custom = CustomCall {
                name: &call.name,
                input: custom_input::extract_text(&call.input),
            };
            return ToolCall {
                id: &call.id,
                r#type: CUSTOM,
                function: None,
                custom: Some(custom),
            };
        }
        ToolCall {
            id: &call.id,
            r#type: "function",
            function: Some(function_call(call)),
            custom: None,
        }
    }
}

fn function_call(call: &ToolUse) -> FunctionCall<'_> {
    FunctionCall {
        name: &call.name,
        arguments: if call.input.is_empty() {
            "{}"
        } else {
            &call.input
        },
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
