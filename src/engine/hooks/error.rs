//! Failures of hooks, and turns that a hook stops.

use std::sync::Arc;
use std::time::Duration;

use super::notes::HookNotes;

/// Reason why a hook gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookFailure {
    /// The hook did not answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The hook cannot be reached, or broke off.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The hook answered with another status than 200.
    #[error("it answered with the status {0}")]
    Status(u16),
    /// The answer is not one of the wire format.
    #[error("its answer is invalid: {0}")]
    InvalidAnswer(&'static str),
    /// The input cannot be written as JSON.
    #[error("its input cannot be written")]
    InvalidInput,
    /// The input is too large to be sent.
    #[error("its input would be larger than 8 MiB")]
    TooLarge,
    /// The maximum number of calls is running.
    #[error("too many of its calls are running")]
    Busy,
    /// Calls failed lately, and the next one is not tried yet.
    #[error("it failed lately, and is not called for a while")]
    CircuitOpen {
        /// Time until the next call.
        retry_after: Duration,
    },
}

/// Turn that a hook stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stopped by the hook `{hook}`: {reason}")]
pub struct HookStop {
    /// Name of the hook.
    pub hook: Arc<str>,
    /// Reason why the turn was stopped.
    pub reason: HookStopReason,
    /// Set if the turn has run, so that its cost is charged.
    pub is_charged: bool,
    /// Verdicts of the hooks that were called.
    pub notes: HookNotes,
}

/// Reason why a hook stopped a turn. Its text is for the log: it does not repeat the message, which
/// may quote the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookStopReason {
    /// The hook refused it.
    #[error("refused")]
    Refused {
        /// Code that the hook gives the refusal.
        code: Option<String>,
        /// Message for the client.
        message: String,
    },
    /// The hook failed, and its turns are refused then.
    #[error("{0}")]
    Failed(HookFailure),
}

impl HookFailure {
    /// True if the failure counts against the hook: its circuit opens after some of them.
    pub(super) fn is_hooks_fault(&self) -> bool {
        match self {
            Self::TimedOut | Self::Unreachable(_) | Self::Status(_) | Self::InvalidAnswer(_) => {
                true
            }
            Self::InvalidInput | Self::TooLarge | Self::Busy | Self::CircuitOpen { .. } => false,
        }
    }

    /// Returns the time after which a further call may succeed.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::CircuitOpen { retry_after } => *retry_after,
            _ => Duration::from_secs(1),
        }
    }
}
