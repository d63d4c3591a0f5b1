//! Events of a turn, and the end of an answer.

use super::Money;
use super::NativeFields;
use super::ServerTool;

/// Step of an answer, in the order in which the model produces it.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// Start of the answer: the upstream call was accepted.
    Started {
        /// Resolved id of the model that answers.
        model: String,
        /// Tokens known at the start: those of the prompt.
        usage: Usage,
        /// Fields of the answer that only Anthropic's API has.
        native: NativeFields,
    },
    /// Next piece of the model's thinking; never empty.
    Thinking(String),
    /// Signature of the thinking so far, with which a caller can send it back.
    ThinkingSignature(String),
    /// Complete encrypted thinking that only upstream can read.
    ThinkingRedacted(String),
    /// Next piece of the answer's text; never empty.
    Text(String),
    /// Start of a tool call.
    ToolCall {
        /// Id by which the result refers to the call.
        id: String,
        /// Name of the tool, as it was offered.
        name: String,
        /// Originator of the call as JSON, if it was not the model itself: code that Anthropic
        /// runs, for instance.
        caller: Option<String>,
    },
    /// Next piece of the input (a JSON object) of the call begun last; never empty. A call without
    /// any piece has the input `{}`.
    ToolInput(String),
    /// Start of a content block that only Anthropic's API has, such as a web search or its results.
    ServerBlock(ServerBlock),
    /// Next piece of the block begun last: of a server block, or of another block whose delta has
    /// no event of its own.
    BlockDelta(BlockDelta),
    /// Source of the text so far.
    Citation(Citation),
    /// Start of a further text right behind another one, with citations of its own.
    NextText,
    /// End of the answer. No event follows.
    Finished(Finish),
}

impl TurnEvent {
    /// Creates the start of an answer of `model` without native fields.
    pub fn started(model: impl Into<String>, usage: Usage) -> Self {
        Self::Started {
            model: model.into(),
            usage,
            native: NativeFields::default(),
        }
    }

    /// Creates the start of a tool call that the model makes itself.
    pub fn tool_call(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ToolCall {
            id: id.into(),
            name: name.into(),
            caller: None,
        }
    }
}

/// Content block that only Anthropic's API has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// JSON of the block, as it begins.
    pub json: String,
    /// Meaning of the block for tools that Anthropic runs.
    pub tool: ServerTool,
}

/// Increment of a content block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDelta {
    /// JSON of the delta.
    pub json: String,
    /// Piece of a server tool's input that the delta contains.
    pub input: Option<String>,
}

/// Source that a text cites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// JSON of the delta that contains the citation.
    pub json: String,
    /// URL of the source, if it is on the web.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
}

/// End of an answer: its reason, and the tokens used.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Reason why the answer ended.
    pub reason: FinishReason,
    /// Stop sequence that ended the answer.
    pub stop_sequence: Option<String>,
    /// Tokens used, from the CLI's own counters.
    pub usage: Usage,
    /// Fields of the answer that only Anthropic's API has.
    pub native: NativeFields,
}

impl Finish {
    /// Creates an end without a stop sequence and without native fields.
    pub fn new(reason: FinishReason, usage: Usage) -> Self {
        Self {
            reason,
            stop_sequence: None,
            usage,
            native: NativeFields::default(),
        }
    }
}

/// Reason why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model waits for the results of the tools it called.
    ToolCalls,
    /// The model refused to answer.
    ContentFilter,
    /// Anthropic paused a long turn with server tools (`pause_turn`); sending the answer back
    /// unchanged resumes it.
    Paused,
}

/// Tokens of one turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens that were neither read from the prompt cache nor written to it.
    pub input_tokens: u64,
    /// Prompt tokens written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Prompt tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Tokens of the answer, thinking included.
    pub output_tokens: u64,
    /// Part of `output_tokens` that was thinking, if the CLI reports it.
    pub thinking_tokens: u64,
    /// Number of web searches, which have a price of their own.
    pub web_searches: u64,
    /// Cost of the turn, once it is charged.
    pub cost: Option<Money>,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cache_write_tokens: self.cache_write_tokens + other.cache_write_tokens,
            cache_read_tokens: self.cache_read_tokens + other.cache_read_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            thinking_tokens: self.thinking_tokens + other.thinking_tokens,
            web_searches: self.web_searches + other.web_searches,
            cost: self.cost.map_or(other.cost, |cost| {
                Some(cost + other.cost.unwrap_or_default())
            }),
        }
    }
}

impl Usage {
    /// Approximate bytes of an answer per token, for output that upstream has not counted yet.
    pub const BYTES_PER_OUTPUT_TOKEN: u64 = 4;

    /// Returns the field-wise maximum of two counts of the same calls, each of which may be
    /// incomplete.
    #[must_use]
    pub fn merge_max(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            cache_write_tokens: self.cache_write_tokens.max(other.cache_write_tokens),
            cache_read_tokens: self.cache_read_tokens.max(other.cache_read_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            web_searches: self.web_searches.max(other.web_searches),
            ..self
        }
    }

    /// Returns the same tokens with the whole prompt outside of the prompt cache.
    #[must_use]
    pub fn without_prompt_cache(self) -> Self {
        Self {
            input_tokens: self.prompt_tokens(),
            cache_write_tokens: 0,
            cache_read_tokens: 0,
            ..self
        }
    }

    /// Returns all tokens of the prompt and the answer.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens() + self.output_tokens
    }

    /// Returns all tokens of the prompt, cached ones included, as `OpenAI` counts `prompt_tokens`.
    pub fn prompt_tokens(&self) -> u64 {
        self.input_tokens + self.cache_write_tokens + self.cache_read_tokens
    }
}
