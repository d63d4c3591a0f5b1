//! Errors of requests that the server answers on a client's behalf, such as batch lines.

use super::ApiError;
use super::Kind;
use crate::services::answers::Again;
use crate::services::answers::Error;
use crate::services::answers::Refusal;

/// Converts an error to the status and body that a client of the endpoint would get.
pub fn refusal(error: Error) -> Refusal {
    let error = match error {
        Error::Invalid(invalid) => ApiError::from(invalid),
        Error::Turn(error) => error.into(),
        Error::Response(error) => error.into(),
    };
    Refusal {
        status: error.status(),
        envelope: error.envelope(),
        again: again(&error),
    }
}

fn again(error: &ApiError) -> Again {
    match (error.0.retry_after, error.kind()) {
        (Some(wait), _) => Again::After(wait),
        // Retrying cannot help: the limit is too low for any such request, or the budget is used
        // up.
        (None, Kind::Limited | Kind::OverBudget) => Again::Never,
        (None, _) if matches!(error.status(), 429 | 500..) => Again::Perhaps,
        (None, _) => Again::Never,
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
