//! What clients of an endpoint would be told, for whoever answers in their place.

use super::ApiError;
use super::Kind;
use crate::services::answers::Again;
use crate::services::answers::Error;
use crate::services::answers::Refusal;

/// What a client of the endpoint would be told: the one table of errors has the words.
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
        // No such request will ever be let in, or not before somebody pays.
        (None, Kind::Limited | Kind::OverBudget) => Again::Never,
        (None, _) if matches!(error.status(), 429 | 500..) => Again::Perhaps,
        (None, _) => Again::Never,
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
