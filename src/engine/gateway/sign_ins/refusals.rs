//! Errors of several sign-ins, of which the client gets one.

use std::time::Duration;

use crate::domain::FailureKind;
use crate::engine::gateway::Error;

/// The most useful of the errors of sign-ins that did not serve a turn.
#[derive(Debug, Default)]
pub(in crate::engine::gateway) struct Refusals(Option<Error>);

impl Refusals {
    /// Adds the error of one more sign-in.
    pub(in crate::engine::gateway) fn add(&mut self, error: Error) {
        let is_better = |known: &Error| rank(&error) < rank(known);
        if self.0.as_ref().is_none_or(is_better) {
            self.0 = Some(error);
        }
    }

    /// Returns the error for the client: one that passes with time before others, and of these the
    /// one that passes first.
    pub(in crate::engine::gateway) fn into_error(self) -> Error {
        self.0.unwrap_or(Error::ShuttingDown)
    }
}

/// Returns how far an error is from an answer: its class, and the time until a retry may succeed.
fn rank(error: &Error) -> (u8, Duration) {
    match error {
        Error::Busy { retry_after, .. } => (0, *retry_after),
        Error::Failed(failure) => {
            let class = match failure.kind {
                FailureKind::RateLimited | FailureKind::Overloaded => 0,
                FailureKind::SignIn => 2,
                FailureKind::Upstream
                | FailureKind::TimedOut
                | FailureKind::Crashed
                | FailureKind::ContextTooLong
                | FailureKind::UnknownModel
                | FailureKind::InvalidRequest => 1,
            };
            (class, failure.retry_after.unwrap_or(Duration::MAX))
        }
        Error::Unavailable { retry_after, .. } => (1, *retry_after),
        _ => (3, Duration::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Failure;

    fn failed(kind: FailureKind, seconds: u64) -> Error {
        Error::Failed(Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Failure::new(kind, "It failed.")
        })
    }

    #[test]
    fn refusal_that_passes_first_is_told() {
        let dead = failed(FailureKind::SignIn, 1);
        let late = failed(FailureKind::RateLimited, 600);
        let soon = failed(FailureKind::RateLimited, 60);
        for order in [
            [&dead, &late, &soon],
            [&soon, &dead, &late],
            [&late, &soon, &dead],
        ] {
            let mut refusals = Refusals::default();
            for error in order {
                refusals.add(error.clone());
            }
            assert_eq!(refusals.into_error(), soon);
        }
        let mut refusals = Refusals::default();
        refusals.add(dead.clone());
        refusals.add(Error::ShuttingDown);
        assert_eq!(refusals.into_error(), dead);
    }
}
