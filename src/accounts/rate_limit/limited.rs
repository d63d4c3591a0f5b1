//! A request that was not let in.

use std::fmt;
use std::time::Duration;

use super::scope::Whose;
use super::state::State;

/// Why a request was refused. Shown, it is a sentence for the caller that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Limited {
    /// Of what there is too little.
    pub what: What,
    /// Whose limit it is.
    pub whose: Whose,
    /// The limit.
    pub limit: u32,
    /// When such a request can pass. None if it never can, because the limit is smaller than the request.
    pub retry_after: Option<Duration>,
    /// What is left of the limits.
    pub state: State,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Requests a minute.
    Requests,
    /// Tokens a minute. So many were asked for; none where it is not known yet how many the request needs.
    Tokens(u64),
    /// Requests at the same time.
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

/// Whole ones, as many as it takes at least.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s", self.0.as_millis().div_ceil(1000).max(1))
    }
}
