//! Errors of the shared level.

use redis::ErrorKind;
use redis::RedisError;
use redis::ServerErrorKind;

/// Reasons why shared answers cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis answers with an error, or not at all.
    #[error("the Redis of the response cache cannot be used")]
    Redis(#[from] RedisError),
    /// Redis has not answered in time, or all connections to it are waiting.
    #[error("the Redis of the response cache did not answer in time")]
    TimedOut,
    /// Redis was not reached a moment ago, and is not asked again so soon.
    #[error("the Redis of the response cache was not reached a moment ago")]
    Paused,
    /// The settings do not fit what they name.
    #[error("{reason}")]
    Setting {
        /// Reason why it cannot be used.
        reason: String,
        /// Advice for the operator.
        hint: &'static str,
    },
}

impl Error {
    /// Returns advice for the operator, if there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Setting { hint, .. } => Some(hint),
            Self::Redis(_) | Self::TimedOut | Self::Paused => None,
        }
    }
}

/// Returns true if the connection that has failed with `error` is of no more use: it is broken, or
/// leads to a server that does not take commands now.
pub(super) fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
        ),
        _ => false,
    }
}
