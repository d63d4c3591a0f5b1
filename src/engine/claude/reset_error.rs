//! Errors of a reset.

use crate::domain::Failure;

/// Reason why a process was not reset, and must not be used again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// The turn was left while the CLI was changing its transcript.
    #[error("it was left while its transcript was being changed")]
    TranscriptChanging,
    /// The turn went on after its interrupt for too long.
    #[error("its turn did not end in time")]
    TurnTimedOut,
    /// The CLI did not remove the prompt, for a reason of its own.
    #[error("the rewind was refused: {0}")]
    RewindRefused(String),
    /// The CLI removed the prompt, and an earlier answer is still there.
    #[error("the rewind left an earlier answer behind")]
    AnswerLeft,
    /// The process ended, or did not answer.
    #[error(transparent)]
    Failed(#[from] Failure),
}
