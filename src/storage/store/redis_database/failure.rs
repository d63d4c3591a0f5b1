//! Errors of Redis, as errors of the store.

use std::sync::Arc;

use redis::ErrorKind;
use redis::RedisError;
use redis::ServerErrorKind;

use super::super::Error;

/// Error: an answer of Redis that its commands do not have.
#[derive(Debug, thiserror::Error)]
#[error("Redis answered to {command} with something else than it does")]
pub(super) struct UnexpectedAnswer {
    pub(super) command: &'static str,
}

impl UnexpectedAnswer {
    /// Creates the error of an answer to `command`.
    pub(super) fn to(command: &'static str) -> Error {
        Error::engine(Self { command })
    }
}

/// Returns true if another connection may do better: this one is broken, or leads to a server that
/// does not take commands now.
pub(super) fn is_broken(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
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

/// Converts an error of Redis.
pub(super) fn to_store_error(error: RedisError) -> Error {
    if is_broken(&error) {
        Error::Unreachable(Arc::new(error))
    } else if is_sign_in_failure(&error) {
        Error::Unsuitable {
            reason: format!("Redis refuses this server: {error}"),
            hint: "set redis.username and redis.password_file to a user of Redis who may use the keys that begin with redis.prefix \
                   in braces, and scripts (EVAL, EVALSHA)",
        }
    } else if is_out_of_memory(&error) {
        Error::OutOfMemory(Arc::new(error))
    } else {
        Error::engine(error)
    }
}

fn is_sign_in_failure(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Returns true if Redis has no memory for a write. Versions before 7 tell it within the error of the
/// script.
fn is_out_of_memory(error: &RedisError) -> bool {
    error.code() == Some("OOM")
        || error
            .detail()
            .is_some_and(|detail| detail.contains("-OOM "))
}
