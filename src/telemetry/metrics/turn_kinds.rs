//! Words by which metrics tell turns, tokens and savings apart.

/// Source of the first token of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerStart {
    /// Idle worker.
    Warm,
    /// Worker that had to be waited for.
    Queued,
    /// Response cache, or the run of an equal turn.
    Cached,
}

/// End of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// Complete answer.
    Answered,
    /// Error.
    Failed,
    /// Client or operator cancelled it.
    Cancelled,
}

/// Kind of counted tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Prompt tokens outside of the prompt cache.
    Input,
    /// Tokens of the answer, thinking included.
    Output,
    /// Prompt tokens read from the prompt cache.
    CacheRead,
    /// Prompt tokens written to the prompt cache.
    CacheWrite,
    /// Tokens about which upstream reported nothing, as they were estimated.
    Estimated,
}

/// Reason why requests cost less than on the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavingCause {
    /// Model other than the baseline model.
    ModelChoice,
    /// Prompt cache of Anthropic.
    PromptCache,
    /// Response cache of the server.
    ResponseCache,
}

impl AnswerStart {
    /// Returns the word for metrics and for the dashboard.
    pub fn label(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Queued => "queued",
            Self::Cached => "cached",
        }
    }
}

impl TurnEnd {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TokenKind {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::Estimated => "estimated",
        }
    }
}

impl SavingCause {
    pub(super) const ALL: [Self; 3] = [Self::ModelChoice, Self::PromptCache, Self::ResponseCache];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::ModelChoice => "model_choice",
            Self::PromptCache => "prompt_cache",
            Self::ResponseCache => "response_cache",
        }
    }
}
