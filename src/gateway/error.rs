//! The kinds of failure that a caller must tell apart.

use std::time::Duration;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::limits::Limited;

/// Why a turn was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// All workers are busy and the queue is full, or the wait in it was too long.
    #[error("all {workers} workers are busy")]
    Busy {
        /// How many workers there may be.
        workers: usize,
        /// When it may help to try again.
        retry_after: Duration,
    },
    /// No worker can be started.
    #[error("no worker can be started: {reason}")]
    Unavailable {
        /// What the last start failed with, safe to show.
        reason: String,
        /// When the next start is tried.
        retry_after: Duration,
    },
    /// The server has no sign-in for Claude.
    #[error("{0}")]
    NotSignedIn(String),
    /// No model has this name.
    #[error("the model `{0}` does not exist")]
    UnknownModel(String),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A limit of the caller does not let it in.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The run failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Error {
    /// Whether its words may quote the request, so that no log may have them: what upstream refuses, it quotes.
    pub fn may_quote_the_request(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.kind == FailureKind::InvalidRequest)
    }
}
