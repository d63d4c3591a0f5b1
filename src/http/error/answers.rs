//! Errors of requests that the server answers on a client's behalf, such as batch lines.

use super::ApiError;
use super::ErrorKind;
use crate::services::answers::ClientError;
use crate::services::answers::Error;
use crate::services::answers::RetryAdvice;

/// Converts an error to the status and body that a client of the endpoint would get.
pub fn client_error(error: Error) -> ClientError {
    let error = match error {
        Error::Invalid(invalid) => ApiError::from(invalid),
        Error::Turn(error) => error.into(),
        Error::Response(error) => error.into(),
    };
    ClientError {
        status: error.status(),
        envelope: error.envelope(),
        retry: retry_advice(&error),
        is_reported: error.is_reported(),
    }
}

fn retry_advice(error: &ApiError) -> RetryAdvice {
    match (error.0.retry_after, error.kind()) {
        (Some(wait), _) => RetryAdvice::After(wait),
        // Retrying cannot help: the limit is too low for any such request, or the budget is used
        // up.
        // The same answer would be made, and charged, again.
        (None, ErrorKind::Limited | ErrorKind::OverBudget | ErrorKind::HookUnavailable) => {
            RetryAdvice::Never
        }
        (None, _) if matches!(error.status(), 429 | 500..) => RetryAdvice::Unknown,
        (None, _) => RetryAdvice::Never,
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
