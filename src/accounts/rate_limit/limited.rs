//! Error of a request that exceeds a rate limit.

use std::fmt;
use std::time::Duration;

use super::scope::Whose;
use super::state::State;

/// A request exceeds a rate limit. `Display` gives a sentence for the caller that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Limited {
    /// Kind of the limit that was exceeded.
    pub what: What,
    /// Scope of the limit: key or project.
    pub whose: Whose,
    /// Value of the limit that was exceeded.
    pub limit: u32,
    /// Time until such a request can pass (`Retry-After`). `None` if it never can, because it needs
    /// more than the limit.
    pub retry_after: Option<Duration>,
    /// Remaining limits of the caller, for the response headers.
    pub state: State,
}

/// Kind of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Requests per minute.
    Requests,
    /// Tokens per minute, with the amount that was asked for; 0 if the request's tokens are not
    /// known yet.
    Tokens(u64),
    /// Concurrent requests.
    ConcurrentRequests,
}

impl fmt::Display for Limited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        let whose = match self.whose {
            Whose::Key => "this key",
            Whose::Project => "this project",
        };
        let many = match self.what {
            What::Requests => format!("{limit} requests a minute"),
            What::Tokens(_) => format!("{limit} tokens a minute"),
            What::ConcurrentRequests => format!("{limit} requests at the same time"),
        };
        write!(formatter, "The limit of {whose} is {many}")?;
        match (self.what, self.retry_after) {
            (What::Requests | What::ConcurrentRequests, None) => {
                formatter.write_str(": no request can pass. Have the limit raised.")
            }
            (What::Tokens(0), None) => {
                formatter.write_str(": no request can pass. Have the limit raised.")
            }
            (What::Tokens(0), Some(wait)) => {
                write!(
                    formatter,
                    ", and they are used up. Try again in {}.",
                    Seconds(wait)
                )
            }
            (What::Tokens(asked), None) => write!(
                formatter,
                ", and this request alone may take {asked}: it can never pass. \
                 Shorten it, ask for fewer tokens in the answer, or have the limit raised."
            ),
            (What::Requests | What::ConcurrentRequests, Some(wait)) => {
                write!(formatter, ". Try again in {}.", Seconds(wait))
            }
            (What::Tokens(asked), Some(wait)) => write!(
                formatter,
                ", and this request may take {asked} of them. Try again in {}.",
                Seconds(wait)
            ),
        }
    }
}

/// Formats a duration in whole seconds, rounded up, at least one.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s", self.0.as_millis().div_ceil(1000).max(1))
    }
}
