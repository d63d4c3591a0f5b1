//! How a turn fails.

use std::time::Duration;

/// A turn that could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What a caller must react to.
    pub kind: FailureKind,
    /// One sentence for the caller; holds nothing of the host, of other callers or of the prompt.
    pub message: String,
    /// When it may help to try again.
    pub retry_after: Option<Duration>,
}

/// The kinds of failure that call for different reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Anthropic did not accept the server's sign-in, or there is none.
    SignIn,
    /// Anthropic's rate or usage limit was met.
    RateLimited,
    /// Anthropic is overloaded.
    Overloaded,
    /// The conversation is longer than the model can read.
    ContextTooLong,
    /// The model does not exist, or the sign-in may not use it.
    UnknownModel,
    /// Anthropic refused the request as it is.
    InvalidRequest,
    /// Nothing came for too long.
    TimedOut,
    /// The worker process died or broke its protocol.
    Crashed,
    /// Any other failure upstream.
    Upstream,
}

impl Failure {
    /// The begin of the message of a request that Anthropic refused; its own words follow.
    pub const REFUSED: &str = "Anthropic refused the request: ";

    /// A failure without a time of the next try.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Whether the worker itself is broken, so that it must not be used again.
    pub fn is_workers_fault(&self) -> bool {
        matches!(self.kind, FailureKind::Crashed | FailureKind::TimedOut)
    }
}
