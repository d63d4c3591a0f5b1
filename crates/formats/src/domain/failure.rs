//! Failures of a turn.

use std::time::Duration;

/// Failure of a turn, as it is reported to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind that determines how a caller should react.
    pub kind: FailureKind,
    /// Single sentence for the caller; contains nothing of the host, of other callers or of the
    /// prompt.
    pub message: String,
    /// Delay after which a retry may succeed.
    pub retry_after: Option<Duration>,
}

/// Kinds of failure that call for different reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Anthropic did not accept the server's sign-in, or there is none.
    SignIn,
    /// Anthropic's rate or usage limit was reached.
    RateLimited,
    /// Anthropic is overloaded.
    Overloaded,
    /// The conversation exceeds the model's context window.
    ContextTooLong,
    /// The model does not exist, or the sign-in may not use it.
    UnknownModel,
    /// Anthropic rejected the request as invalid.
    InvalidRequest,
    /// Timeout: no output came for too long.
    TimedOut,
    /// The worker process died or broke its protocol.
    Crashed,
    /// Any other failure upstream.
    Upstream,
}

impl Failure {
    /// Start of the message for a request that Anthropic refused; Anthropic's own words follow.
    pub const REFUSED_PREFIX: &str = "Anthropic refused the request: ";

    /// Creates a failure without a retry delay.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// True if the worker itself is broken, so that it must not be used again.
    pub fn is_workers_fault(&self) -> bool {
        matches!(self.kind, FailureKind::Crashed | FailureKind::TimedOut)
    }
}
