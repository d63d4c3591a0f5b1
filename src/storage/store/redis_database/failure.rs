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
    } else if has_code(&error, "OOM") {
        Error::OutOfMemory(Arc::new(error))
    } else if is_suspended(&error) {
        Error::Suspended(Arc::new(error))
    } else {
        Error::engine(error)
    }
}

/// Returns true if the server refuses the credentials, or does not let their user do this.
pub(super) fn is_sign_in_failure(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Returns true if Redis refuses writes or scripts until something outside of them changes: its disk
/// fails, replicas are missing, or another script runs or was ended by an operator.
fn is_suspended(error: &RedisError) -> bool {
    let was_killed = || {
        let detail = error.detail();
        detail.is_some_and(|detail| detail.contains("Script killed by user"))
    };
    ["MISCONF", "NOREPLICAS", "BUSY"]
        .into_iter()
        .any(|code| has_code(error, code))
        || was_killed()
}

/// Returns true if Redis answers with `code`. Versions before 7 tell it within the error of the
/// script.
fn has_code(error: &RedisError, code: &str) -> bool {
    let is_within = |detail: &str| detail.contains(&format!("-{code} "));
    error.code() == Some(code) || error.detail().is_some_and(is_within)
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    fn converted(code: &str, detail: &str) -> Error {
        let detail = Some(detail.to_owned());
        to_store_error(make_extension_error(code.to_owned(), detail))
    }

    #[test]
    fn refusals_that_end_by_themselves_are_told_apart() {
        for (code, detail) in [
            ("MISCONF", "Errors writing to the AOF file: No space left"),
            ("NOREPLICAS", "Not enough good replicas to write. script: 1"),
            ("BUSY", "Redis is busy running a script."),
            ("ERR", "Error running script: -NOREPLICAS Not enough good"),
            ("ERR", "Script killed by user with SCRIPT KILL... script: 1"),
        ] {
            let error = converted(code, detail);
            assert!(matches!(error, Error::Suspended(_)), "{code}: {error:?}");
            assert!(error.hint().is_some());
        }
        for (code, detail) in [
            ("OOM", "command not allowed"),
            ("ERR", "@user_script: 9: -OOM command not allowed"),
        ] {
            let error = converted(code, detail);
            assert!(matches!(error, Error::OutOfMemory(_)), "{code}: {error:?}");
        }
        for (code, detail) in [("ERR", "wrong number"), ("BUSYKEY", "exists")] {
            let error = converted(code, detail);
            assert!(matches!(error, Error::Engine(_)), "{code}: {error:?}");
        }
    }
}
