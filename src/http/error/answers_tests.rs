use std::time::Duration;

use super::*;
use crate::accounts::ledger;
use crate::accounts::rate_limit::LimitKind;
use crate::accounts::rate_limit::LimitScope;
use crate::accounts::rate_limit::RateLimitState;
use crate::accounts::rate_limit::RateLimited;
use crate::api::request_schema::InvalidRequest;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway;
use crate::services::responses;

const SOON: Duration = Duration::from_secs(3);

fn limited(retry_after: Option<Duration>) -> gateway::Error {
    let what = LimitKind::Requests;
    let whose = LimitScope::Key;
    let state = RateLimitState::default();
    RateLimited {
        kind: what,
        scope: whose,
        limit: 1,
        retry_after,
        state,
    }
    .into()
}

fn failed(kind: FailureKind) -> gateway::Error {
    Failure::new(kind, "It failed.").into()
}

/// Errors that persist are never retried, even by a batch that could wait.
#[test]
fn error_has_the_right_retry_advice() {
    let over = ledger::BudgetExceeded {
        scope: ledger::BudgetScope::Key,
        window: ledger::BudgetWindow::Day,
        unit: ledger::BudgetUnit::Tokens,
        cap: 1,
        spent: 1,
        held: 0,
        wanted: 1,
        resets_at: 86_400,
    };
    for (error, status, again) in [
        (InvalidRequest::body("No.").into(), 400, RetryAdvice::Never),
        (
            Error::Turn(limited(Some(SOON))),
            429,
            RetryAdvice::After(SOON),
        ),
        (Error::Turn(limited(None)), 429, RetryAdvice::Never),
        (Error::Turn(over.into()), 429, RetryAdvice::Never),
        (
            Error::Turn(gateway::Error::NotSignedIn("Sign in.".into())),
            401,
            RetryAdvice::Never,
        ),
        (
            Error::Turn(gateway::Error::UnknownModel("x".into())),
            404,
            RetryAdvice::Never,
        ),
        (
            Error::Turn(gateway::Error::Busy {
                workers: 1,
                reason: gateway::BusyReason::QueueFull,
                retry_after: SOON,
            }),
            429,
            RetryAdvice::After(SOON),
        ),
        (
            Error::Turn(failed(FailureKind::RateLimited)),
            429,
            RetryAdvice::Unknown,
        ),
        (
            Error::Turn(failed(FailureKind::Crashed)),
            502,
            RetryAdvice::Unknown,
        ),
        (
            Error::Turn(failed(FailureKind::ContextTooLong)),
            400,
            RetryAdvice::Never,
        ),
        (
            Error::Response(responses::Error::NotFound("x".into())),
            404,
            RetryAdvice::Never,
        ),
        (
            Error::Response(limited(Some(SOON)).into()),
            429,
            RetryAdvice::After(SOON),
        ),
    ] {
        let words = error.to_string();
        let refusal = client_error(error);
        assert_eq!((refusal.status, refusal.retry), (status, again), "{words}");
    }
}
