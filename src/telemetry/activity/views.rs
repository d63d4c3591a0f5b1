//! Turns as they are shown: facts, progress and end, without any content.

use std::borrow::Cow;
use std::sync::Arc;

use super::phases::PhaseTimes;
use super::phases::TurnOutcome;
use crate::domain::Money;
use crate::domain::Surface;
use crate::domain::Usage;
use crate::telemetry::metrics::AnswerStart;

/// Maximum length of the shown name of a model, in bytes.
const MAX_MODEL_NAME_BYTES: usize = 128;

/// Facts about a turn that are known when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnFacts {
    /// Id of the request that the turn belongs to; `None` for background work.
    pub request_id: Option<Arc<str>>,
    /// API by which the turn came.
    pub surface: Surface,
    /// Id of the caller's key.
    pub key: String,
    /// Id of the caller's project.
    pub project: String,
    /// Model as the client has named it, [shortened](shorten_model_name).
    pub requested_model: String,
    /// Set if the answer is sent piece by piece.
    pub is_streamed: bool,
    /// Set if no client waits for the answer.
    pub is_background: bool,
}

/// Tokens of a turn by their kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnTokens {
    /// Prompt tokens outside of the prompt cache.
    pub input: u64,
    /// Prompt tokens that were read from the prompt cache.
    pub cache_read: u64,
    /// Prompt tokens that were written to the prompt cache.
    pub cache_write: u64,
    /// Tokens of the answer, estimated while it flows.
    pub output: u64,
    /// Charged tokens about which upstream reported nothing.
    pub estimated: u64,
}

/// Turn as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnView {
    /// Number of the turn, which no other turn has.
    pub id: u64,
    /// Facts known when the turn began.
    pub facts: Arc<TurnFacts>,
    /// Beginning of the turn, in milliseconds of Unix time.
    pub started_at_ms: u64,
    /// Id of the model that answers; empty while it is not known.
    pub model: Arc<str>,
    /// Source of the first token; `None` before the run.
    pub start: Option<AnswerStart>,
    /// Set if the server has chosen the model.
    pub is_routed: bool,
    /// Phases that have begun.
    pub phases: PhaseTimes,
    /// Number of tokens so far.
    pub tokens: TurnTokens,
    /// Set if the operator has cancelled the turn.
    pub is_cancelling: bool,
}

/// Error that ended a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnError {
    /// Code of the error.
    pub code: Cow<'static, str>,
    /// HTTP status of the error; `None` if it has none.
    pub status: Option<u16>,
}

/// Turn that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedTurn {
    /// Turn as it was at its end.
    pub turn: TurnView,
    /// Way in which the turn ended.
    pub outcome: TurnOutcome,
    /// Error that the client got; `None` for an answer and for a client that left.
    pub error: Option<TurnError>,
    /// End of the turn, in milliseconds of Unix time.
    pub ended_at_ms: u64,
    /// Duration of the turn in milliseconds.
    pub duration_ms: u32,
    /// Charged cost; `None` while it is not known, and without a price.
    pub cost: Option<Money>,
    /// Set once the charge is made.
    pub is_cost_final: bool,
}

impl TurnError {
    /// Creates an error without a status.
    pub fn new(code: &'static str) -> Self {
        Self {
            code: code.into(),
            status: None,
        }
    }
}

impl From<&Usage> for TurnTokens {
    fn from(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            cache_read: usage.cache_read_tokens,
            cache_write: usage.cache_write_tokens,
            output: usage.output_tokens,
            estimated: 0,
        }
    }
}

/// Returns the beginning of the name of a model, which clients may make as long as they like.
pub fn shorten_model_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_MODEL_NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_name_of_a_model_is_cut_at_a_character() {
        assert_eq!(shorten_model_name("opus"), "opus");
        let long = format!("a{}", "ä".repeat(100));
        assert_eq!(shorten_model_name(&long).len(), 127);
    }
}
