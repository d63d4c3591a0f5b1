//! A request that was let in.

use super::Limits;
use super::bucket::TakeId;
use super::scope::Shared;
use super::state::State;

/// Counts as one of the requests at the same time until it is dropped, so it is to be held until the last byte of the
/// answer. Dropped without being settled, it has taken the tokens that were estimated.
#[must_use = "dropping a permit ends its request"]
#[derive(Debug)]
pub struct Permit {
    limits: Limits,
    scopes: Vec<(Shared, TakeId)>,
    is_settled: bool,
}

impl Permit {
    pub(super) fn new(limits: Limits, scopes: Vec<(Shared, TakeId)>) -> Self {
        Self { limits, scopes, is_settled: false }
    }

    /// Says that the request took `tokens`, more or fewer than were estimated: the limits are then as if that had been
    /// asked for. What is too much is taken as well, and others wait for it. Only the first word counts.
    pub fn settle(&mut self, tokens: u64) {
        self.settle_at(Some(tokens));
    }

    /// What is left of the limits now, for the headers of the answer.
    pub fn state(&self) -> State {
        let now = self.limits.now();
        State::tightest(self.scopes.iter().map(|(scope, _)| scope.lock().state(now)))
    }

    fn settle_at(&mut self, tokens: Option<u64>) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        for (scope, take) in &self.scopes {
            scope.lock().settle(*take, tokens);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle_at(None);
        for (scope, _) in &self.scopes {
            scope.lock().release();
        }
    }
}
