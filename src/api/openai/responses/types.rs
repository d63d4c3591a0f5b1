//! The wire form of responses, fields in `OpenAI`'s order. They are stored as they are sent.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::server_types::CodeOutput;
use super::server_types::McpError;
use super::server_types::Search;
use crate::api::openai::citation::UrlCitation;
use crate::domain;

/// A response, whole or still being made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// `resp_` and 32 random hexadecimal digits.
    pub id: String,
    /// Always null: there are none. The SDK for Node declares it.
    #[serde(default)]
    pub access_programs: (),
    /// Always `response`.
    pub object: String,
    /// When it was begun, in seconds of Unix time.
    pub created_at: u64,
    /// How far it is.
    pub status: Status,
    /// Whether it is made though nobody waits.
    pub background: bool,
    /// The conversation that it goes on, and is added to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationName>,
    /// When it was whole, in seconds of Unix time.
    pub completed_at: Option<u64>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Why it is not whole.
    pub incomplete_details: Option<Incomplete>,
    /// As the request had it, like all that is not explained here.
    pub instructions: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub max_output_tokens: Option<u32>,
    /// The model's name as the client wrote it.
    pub model: String,
    /// What came of it.
    pub output: Vec<Item>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub parallel_tool_calls: bool,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub previous_response_id: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub reasoning: Value,
    /// Always 0, like the next.
    #[serde(default)]
    pub presence_penalty: f64,
    #[expect(missing_docs, reason = "explained above")]
    #[serde(default)]
    pub frequency_penalty: f64,
    /// Always null: calls are bounded by Anthropic.
    #[serde(default)]
    pub max_tool_calls: (),
    #[expect(missing_docs, reason = "an echo of the request")]
    #[serde(default)]
    pub safety_identifier: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    #[serde(default)]
    pub prompt_cache_key: Option<String>,
    /// Always `default`.
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
    /// Always 0.
    pub top_logprobs: u32,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub top_p: f64,
    /// Always `disabled`.
    pub truncation: String,
    /// What it took, once it is whole.
    pub usage: Option<Usage>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub user: Option<String>,
    #[expect(missing_docs, reason = "an echo of the request")]
    pub metadata: Map<String, Value>,
}

/// How far a response or an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of OpenAI")]
pub enum Status {
    Queued,
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
}

impl Status {
    /// Whether nothing more will come.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// A conversation by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationName {
    /// `conv_` and more.
    pub id: String,
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// One of the few words `OpenAI` has for this.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Why a response is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incomplete {
    /// `max_output_tokens` or `content_filter`.
    pub reason: String,
}

/// One thing that the model gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// What it thought.
    Reasoning {
        id: String,
        summary: Vec<Summary>,
        /// The thoughts for Claude to read again; none when upstream put no seal on them.
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
        status: Status,
    },
    /// What it said.
    Message {
        id: String,
        status: Status,
        role: String,
        content: Vec<Content>,
    },
    /// What it wants to be called.
    FunctionCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
    },
    /// A tool that takes a text which it wants to be called.
    CustomToolCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
    },
    /// A command that it wants to be run.
    LocalShellCall {
        id: String,
        status: Status,
        call_id: String,
        action: Value,
    },
    /// Commands that it wants to be run.
    ShellCall {
        id: String,
        status: Status,
        call_id: String,
        action: Value,
    },
    /// Tools that it looks for.
    ToolSearchCall {
        id: String,
        status: Status,
        call_id: String,
        execution: String,
        arguments: Value,
    },
    /// A change of a file that it wants to be made.
    ApplyPatchCall {
        id: String,
        status: Status,
        call_id: String,
        operation: Value,
    },
    /// What it searched the web for.
    WebSearchCall {
        id: String,
        status: Status,
        action: Search,
    },
    /// Code that it had run.
    CodeInterpreterCall {
        id: String,
        status: Status,
        /// None as long as it is not whole.
        code: Option<String>,
        /// Always empty: the container is Anthropic's, which names it to nobody before the end.
        container_id: String,
        outputs: Option<Vec<CodeOutput>>,
    },
    /// What it called on an MCP server.
    McpCall {
        id: String,
        status: Status,
        server_label: String,
        name: String,
        arguments: String,
        output: Option<String>,
        error: Option<McpError>,
        /// Always null: nothing is asked for.
        #[serde(default)]
        approval_request_id: (),
    },
}

/// A source of a part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Annotation {
    /// One on the web.
    UrlCitation(UrlCitation),
}

impl Item {
    /// Its id.
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

/// Thoughts that are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Summary {
    /// The only kind.
    #[serde(rename = "summary_text")]
    Text {
        /// The thoughts.
        text: String,
    },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Part of an answer.
    OutputText {
        /// The words.
        text: String,
        /// Its sources.
        annotations: Vec<Annotation>,
        /// Always empty.
        logprobs: [(); 0],
    },
    /// What stands for an answer that was refused.
    Refusal {
        /// Words for people.
        refusal: String,
    },
}

impl Content {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::OutputText {
            text: text.into(),
            annotations: Vec::new(),
            logprobs: [],
        }
    }
}

/// Tokens of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Those of the prompt.
    pub input_tokens: u64,
    /// Some of these.
    pub input_tokens_details: InputDetails,
    /// Those of the answer.
    pub output_tokens: u64,
    /// Some of these.
    pub output_tokens_details: OutputDetails,
    /// All of them.
    pub total_tokens: u64,
}

/// Parts of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

/// Parts of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDetails {
    pub reasoning_tokens: u64,
}

impl From<Usage> for domain::Usage {
    fn from(usage: Usage) -> Self {
        let InputDetails {
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

impl From<&domain::Usage> for Usage {
    fn from(usage: &domain::Usage) -> Self {
        let input_tokens = usage.prompt_tokens();
        Self {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.thinking_tokens,
            },
            total_tokens: input_tokens + usage.output_tokens,
        }
    }
}
