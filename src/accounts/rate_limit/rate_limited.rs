//! Error of a request that exceeds a rate limit.

use std::fmt;
use std::time::Duration;

use super::scope::LimitScope;
use super::state::RateLimitState;
use crate::storage::store;

/// A request exceeds a rate limit. `Display` gives a sentence for the caller that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RateLimited {
    /// Kind of the limit that was exceeded.
    pub kind: LimitKind,
    /// Scope of the limit: key, project or end user.
    pub scope: LimitScope,
    /// Value of the limit that was exceeded.
    pub limit: u32,
    /// Time until such a request can pass (`Retry-After`). `None` if it never can, because it needs
    /// more than the limit.
    pub retry_after: Option<Duration>,
    /// Remaining limits of the caller, for the response headers.
    pub state: RateLimitState,
}

/// Reason why a request is not admitted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmitError {
    /// A rate limit is reached.
    #[error(transparent)]
    Limited(#[from] RateLimited),
    /// The store that counts for all servers failed.
    #[error(transparent)]
    Store(store::Error),
}

/// Kind of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests per minute.
    Requests,
    /// Tokens per minute, with the amount that was asked for; 0 if the request's tokens are not
    /// known yet.
    Tokens(u64),
    /// Concurrent requests.
    ConcurrentRequests,
}

impl fmt::Display for RateLimited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        let whose = match self.scope {
            LimitScope::Key => "this key",
            LimitScope::Project => "this project",
            LimitScope::EndUser => "this end user",
        };
        let many = match self.kind {
            LimitKind::Requests => format!("{limit} requests a minute"),
            LimitKind::Tokens(_) => format!("{limit} tokens a minute"),
            LimitKind::ConcurrentRequests => format!("{limit} requests at the same time"),
        };
        write!(formatter, "The limit of {whose} is {many}")?;
        match (self.kind, self.retry_after) {
            (LimitKind::Requests | LimitKind::ConcurrentRequests, None) => {
                formatter.write_str(": no request can pass. Have the limit raised.")
            }
            (LimitKind::Tokens(0), None) => {
                formatter.write_str(": no request can pass. Have the limit raised.")
            }
            (LimitKind::Tokens(0), Some(wait)) => {
                write!(
                    formatter,
                    ", and they are used up. Try again in {}.",
                    RetrySeconds(wait)
                )
            }
            (LimitKind::Tokens(requested), None) => write!(
                formatter,
                ", and this request alone may take {requested}: it can never pass. \
                 Shorten it, ask for fewer tokens in the answer, or have the limit raised."
            ),
            (LimitKind::Requests | LimitKind::ConcurrentRequests, Some(wait)) => {
                write!(formatter, ". Try again in {}.", RetrySeconds(wait))
            }
            (LimitKind::Tokens(requested), Some(wait)) => write!(
                formatter,
                ", and this request may take {requested} of them. Try again in {}.",
                RetrySeconds(wait)
            ),
        }
    }
}

/// Formats a duration in whole seconds, rounded up, at least one.
struct RetrySeconds(Duration);

impl fmt::Display for RetrySeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s", self.0.as_millis().div_ceil(1000).max(1))
    }
}
