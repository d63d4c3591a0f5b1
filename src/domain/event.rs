//! What comes back from a turn.

use super::Money;
use super::NativeFields;
use super::ServerTool;

/// One step of an answer, in the order in which the model makes it.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// The model has begun to answer: the upstream call was accepted.
    Started {
        /// The resolved id of the model that answers.
        model: String,
        /// Tokens as they are known at the beginning: those of the prompt.
        usage: Usage,
        /// Fields of the answer that only Anthropic's API has.
        native: NativeFields,
    },
    /// The next piece of what the model thinks before it answers; never empty.
    Thinking(String),
    /// The seal of the thinking so far, with which a caller can send it back.
    ThinkingSealed(String),
    /// Thoughts that only upstream can read, whole.
    ThinkingRedacted(String),
    /// The next piece of the answer; never empty.
    Text(String),
    /// The model begins to call a tool.
    ToolCall {
        /// The id by which the result will name the call.
        id: String,
        /// The tool's name, as it was offered.
        name: String,
        /// What made the call if it was not the model itself, as JSON: code that Anthropic runs, for instance.
        caller: Option<String>,
    },
    /// The next piece of the input, a JSON object, of the call begun last; never empty. A call without any piece has
    /// the input `{}`.
    ToolInput(String),
    /// A content block begins that only Anthropic's API has, such as a search of the web or its results.
    ServerBlock(ServerBlock),
    /// The next piece of the block begun last: of a server block, or one of another block that has no event of its own.
    BlockDelta(BlockDelta),
    /// A source of the text so far.
    Citation(Citation),
    /// A further text begins right behind another one, with sources of its own.
    NextText,
    /// The answer is whole. Nothing follows.
    Finished(Finish),
}

impl TurnEvent {
    /// The beginning of an answer of `model`, of which upstream says no more than the tokens.
    pub fn started(model: impl Into<String>, usage: Usage) -> Self {
        Self::Started {
            model: model.into(),
            usage,
            native: NativeFields::default(),
        }
    }

    /// A call that the model makes itself.
    pub fn tool_call(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ToolCall {
            id: id.into(),
            name: name.into(),
            caller: None,
        }
    }
}

/// A content block that only Anthropic's API has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// The block, as it begins.
    pub json: String,
    /// What it tells of tools that Anthropic runs.
    pub tool: ServerTool,
}

/// A piece of a content block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDelta {
    /// The delta.
    pub json: String,
    /// The piece of the input of a server tool that it brings.
    pub input: Option<String>,
}

/// A source of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The delta that tells of it, as JSON.
    pub json: String,
    /// Where the source is, if it is on the web.
    pub url: Option<String>,
    /// What it is called.
    pub title: Option<String>,
}

/// How an answer ended and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// The one of the stop texts that ended it.
    pub stop_text: Option<String>,
    /// Tokens, from the CLI's own counters.
    pub usage: Usage,
    /// Fields of the answer that only Anthropic's API has.
    pub native: NativeFields,
}

impl Finish {
    /// An end that no stop text has made, of which upstream says no more than the tokens.
    pub fn new(reason: FinishReason, usage: Usage) -> Self {
        Self {
            reason,
            stop_text: None,
            usage,
            native: NativeFields::default(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop text.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The model waits for the results of the tools it called.
    ToolCalls,
    /// The model refused to answer.
    ContentFilter,
    /// Anthropic has interrupted a long turn with tools of its own; sent back as it is, the answer goes on.
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
    /// The part of `output_tokens` that was thinking, where the CLI tells it.
    pub thinking_tokens: u64,
    /// Searches of the web, which have a price of their own.
    pub web_searches: u64,
    /// What the turn cost, once it was charged.
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
    /// Of two counts of the same calls, each of which may lack some, the greater figures.
    #[must_use]
    pub fn greater(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            cache_write_tokens: self.cache_write_tokens.max(other.cache_write_tokens),
            cache_read_tokens: self.cache_read_tokens.max(other.cache_read_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            web_searches: self.web_searches.max(other.web_searches),
            ..self
        }
    }

    /// All tokens, those of the prompt and of the answer.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens() + self.output_tokens
    }

    /// All tokens of the prompt, cached ones included, as `OpenAI` counts `prompt_tokens`.
    pub fn prompt_tokens(&self) -> u64 {
        self.input_tokens + self.cache_write_tokens + self.cache_read_tokens
    }
}
