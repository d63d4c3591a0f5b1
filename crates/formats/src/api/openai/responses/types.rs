//! Wire types of responses; fields in `OpenAI`'s order.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::server_types::CodeOutput;
use super::server_types::McpError;
use super::server_types::SearchAction;
use crate::api::openai::citation::UrlCitation;
use crate::domain;

/// A response, complete or in progress.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Response {
    /// Unique id: `resp_` and 32 random hexadecimal digits.
    pub id: String,
    /// Always null; the SDK for Node declares it.
    pub access_programs: (),
    /// Object type, always `response`.
    pub object: String,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
    /// Current state of the response.
    pub status: ResponseStatus,
    /// True if it is generated in the background.
    pub background: bool,
    /// Conversation that it continues; input and output are added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// Time of completion, in seconds of Unix time; null unless completed.
    pub completed_at: Option<u64>,
    /// Error of a failed response.
    pub error: Option<ResponseError>,
    /// Reason why the response is incomplete.
    pub incomplete_details: Option<IncompleteDetails>,
    /// Echo of the request, like all fields without a comment.
    pub instructions: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub max_output_tokens: Option<u32>,
    /// Name of the model, as the client wrote it.
    pub model: String,
    /// Output items, in order.
    pub output: Vec<ResponseItem>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub parallel_tool_calls: bool,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub previous_response_id: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub reasoning: Value,
    /// Always 0, as is `frequency_penalty`.
    pub presence_penalty: f64,
    #[expect(missing_docs, reason = "explained above")]
    pub frequency_penalty: f64,
    /// Always null, since Anthropic bounds the calls.
    pub max_tool_calls: (),
    #[expect(missing_docs, reason = "an echo of the request")]
    pub safety_identifier: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub prompt_cache_key: Option<String>,
    /// Service tier, always `default`.
    pub service_tier: String,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub store: bool,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub temperature: f64,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub text: Value,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub tool_choice: Value,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub tools: Vec<Value>,
    /// Always 0, since Claude returns no log probabilities.
    pub top_logprobs: u32,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub top_p: f64,
    /// Truncation strategy, always `disabled`.
    pub truncation: String,
    /// Token usage; set when the answer has finished.
    pub usage: Option<ResponseUsage>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub user: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub metadata: Map<String, Value>,
}

/// State of a response or an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of OpenAI")]
pub enum ResponseStatus {
    Queued,
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
}

impl ResponseStatus {
    /// True if the state cannot change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// Reference to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationId {
    /// Id of the conversation, which begins with `conv_`.
    pub id: String,
}

/// Error of a failed response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResponseError {
    /// Error code, one of the few that `OpenAI` defines for this.
    pub code: String,
    /// Error message for people.
    pub message: String,
}

/// Reason why a response is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncompleteDetails {
    /// Wire value: `max_output_tokens` or `content_filter`.
    pub reason: String,
}

/// Output item of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseItem {
    /// Thinking of the model.
    Reasoning {
        id: String,
        summary: Vec<ReasoningSummary>,
        /// Thinking in the form that Claude can read again; none without a signature.
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
        status: ResponseStatus,
    },
    /// Message of the model.
    Message {
        id: String,
        status: ResponseStatus,
        role: String,
        content: Vec<ResponseContent>,
    },
    /// Call of a function.
    FunctionCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
    },
    /// Call of a custom tool.
    CustomToolCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
    },
    /// Call of the local shell tool.
    LocalShellCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        action: Value,
    },
    /// Call of the shell tool.
    ShellCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        action: Value,
    },
    /// Search for tools that the client has not offered yet.
    ToolSearchCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        execution: String,
        arguments: Value,
    },
    /// Call of the tool that edits files.
    ApplyPatchCall {
        id: String,
        status: ResponseStatus,
        call_id: String,
        operation: Value,
    },
    /// Web search by Anthropic.
    WebSearchCall {
        id: String,
        status: ResponseStatus,
        action: SearchAction,
    },
    /// Code run by Anthropic.
    CodeInterpreterCall {
        id: String,
        status: ResponseStatus,
        /// Code of the call; none while it is incomplete.
        code: Option<String>,
        /// Always empty: Anthropic reports the id of its container only at the end.
        container_id: String,
        outputs: Option<Vec<CodeOutput>>,
    },
    /// Call of an MCP tool by Anthropic.
    McpCall {
        id: String,
        status: ResponseStatus,
        server_label: String,
        name: String,
        arguments: String,
        output: Option<String>,
        error: Option<McpError>,
        /// Always null, since no approval is requested.
        approval_request_id: (),
    },
}

/// Annotation of a message text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseAnnotation {
    /// Citation of a web page.
    UrlCitation(UrlCitation),
}

impl ResponseItem {
    /// Returns the id of the item.
    pub fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::CustomToolCall { id, .. }
            | Self::LocalShellCall { id, .. }
            | Self::ShellCall { id, .. }
            | Self::ApplyPatchCall { id, .. }
            | Self::ToolSearchCall { id, .. }
            | Self::WebSearchCall { id, .. }
            | Self::CodeInterpreterCall { id, .. }
            | Self::McpCall { id, .. } => id,
        }
    }
}

/// Summary of thinking, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum ReasoningSummary {
    /// Summary text, the only kind.
    #[serde(rename = "summary_text")]
    Text {
        /// Text of the thinking.
        text: String,
    },
}

/// Content part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseContent {
    /// Text of an answer.
    OutputText {
        /// Text of the part.
        text: String,
        /// Citations within the text.
        annotations: Vec<ResponseAnnotation>,
        /// Always empty, since Claude returns no log probabilities.
        logprobs: [(); 0],
    },
    /// Refusal in place of an answer.
    Refusal {
        /// Text of the refusal, for people.
        refusal: String,
    },
}

impl ResponseContent {
    /// Creates a text part without annotations.
    pub fn text(text: impl Into<String>) -> Self {
        Self::OutputText {
            text: text.into(),
            annotations: Vec::new(),
            logprobs: [],
        }
    }
}

/// Token usage of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ResponseUsage {
    /// Number of tokens of the prompt.
    pub input_tokens: u64,
    /// Prompt tokens by cache use.
    pub input_tokens_details: ResponseInputDetails,
    /// Number of tokens of the answer.
    pub output_tokens: u64,
    /// Answer tokens spent on thinking.
    pub output_tokens_details: ResponseOutputDetails,
    /// Sum of prompt and answer tokens.
    pub total_tokens: u64,
}

/// Breakdown of the prompt tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ResponseInputDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

/// Breakdown of the answer tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ResponseOutputDetails {
    pub reasoning_tokens: u64,
}

impl From<ResponseUsage> for domain::Usage {
    fn from(usage: ResponseUsage) -> Self {
        let ResponseInputDetails {
            cached_tokens,
            cache_write_tokens,
        } = usage.input_tokens_details;
        Self {
            input_tokens: usage
                .input_tokens
                .saturating_sub(cached_tokens + cache_write_tokens),
            cache_write_tokens,
            cache_read_tokens: cached_tokens,
            output_tokens: usage.output_tokens,
            thinking_tokens: usage.output_tokens_details.reasoning_tokens,
            web_searches: 0,
            cost: None,
        }
    }
}

impl From<&domain::Usage> for ResponseUsage {
    fn from(usage: &domain::Usage) -> Self {
        let input_tokens = usage.prompt_tokens();
        Self {
            input_tokens,
            input_tokens_details: ResponseInputDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: ResponseOutputDetails {
                reasoning_tokens: usage.thinking_tokens,
            },
            total_tokens: input_tokens + usage.output_tokens,
        }
    }
}
