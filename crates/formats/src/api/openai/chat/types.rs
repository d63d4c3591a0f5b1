//! Wire types of chat completions, fields in `OpenAI`'s order.
//!
//! Own types instead of a crate's: clients distinguish an absent field from `null`, and texts are
//! borrowed.

use serde::Serialize;

use super::tools::ToolCallFormat;
use crate::api::openai::citation::UrlCitation;
use crate::domain::FinishReason;
use crate::domain::Money;
use crate::domain::Usage;

/// Object `chat.completion`.
#[derive(Serialize)]
pub(super) struct ChatCompletion<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<ChatChoice<'a>>,
    pub(super) usage: CompletionUsage,
}

#[derive(Serialize)]
pub(super) struct ChatChoice<'a> {
    pub(super) index: usize,
    pub(super) message: AssistantMessage<'a>,
    pub(super) logprobs: (),
    pub(super) finish_reason: &'static str,
}

#[derive(Serialize)]
pub(super) struct AssistantMessage<'a> {
    pub(super) role: &'static str,
    pub(super) content: Option<&'a String>,
    /// Extension that other servers of reasoning models have too.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reasoning_content: &'a str,
    pub(super) refusal: Option<&'static str>,
    pub(super) annotations: Vec<ChatAnnotation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function_call: Option<FunctionCall<'a>>,
}

/// Citation of a source on the web.
#[derive(Serialize)]
pub(super) struct ChatAnnotation<'a> {
    r#type: &'static str,
    url_citation: &'a UrlCitation,
}

impl<'a> From<&'a UrlCitation> for ChatAnnotation<'a> {
    fn from(url_citation: &'a UrlCitation) -> Self {
        Self {
            r#type: "url_citation",
            url_citation,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ToolCall<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom: Option<CustomCall<'a>>,
}

/// Call of a custom tool.
#[derive(Serialize)]
pub(super) struct CustomCall<'a> {
    pub(super) name: &'a str,
    pub(super) input: String,
}

#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

#[derive(Serialize)]
pub(in crate::api::openai) struct CompletionUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    /// Extension: cost in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl From<&Usage> for CompletionUsage {
    fn from(usage: &Usage) -> Self {
        let prompt_tokens = usage.prompt_tokens();
        Self {
            prompt_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: prompt_tokens + usage.output_tokens,
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.thinking_tokens,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
            cost_usd: usage.cost.map(Money::dollars),
        }
    }
}

/// Returns the wire value of `finish_reason`.
pub(in crate::api::openai) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        // OpenAI has no value for an answer that Anthropic paused; `length` shows clients that it
        // is incomplete.
        FinishReason::Length | FinishReason::Paused => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// Returns the wire value of `finish_reason` in the given tool call format.
pub(super) fn finish_reason_in_format(
    reason: FinishReason,
    dialect: &ToolCallFormat,
) -> &'static str {
    match (reason, dialect) {
        (FinishReason::ToolCalls, ToolCallFormat::Functions) => "function_call",
        _ => finish_reason(reason),
    }
}
