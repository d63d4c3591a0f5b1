//! A request that was let in.

use super::Limited;
use super::Limits;
use super::bucket::TakeId;
use super::scope;
use super::scope::Shared;
use super::state::State;

/// Counts as one of the requests at the same time until it is dropped, so it is to be held until the last byte of the answer.
///
/// Dropped without being settled, it has taken the tokens that were [asked](Self::ask) for.
#[must_use = "dropping a permit ends its request"]
#[derive(Debug)]
pub struct Permit {
    limits: Limits,
    scopes: Vec<(Shared, TakeId)>,
    is_settled: bool,
}

impl Permit {
    pub(super) fn new(limits: Limits, scopes: Vec<(Shared, TakeId)>) -> Self {
        Self {
            limits,
            scopes,
            is_settled: false,
        }
    }

    /// Takes about `tokens` more for the request, of its prompt and its answer.
    ///
    /// # Errors
    /// When the tokens of the key or of its project do not suffice. The limits are then as if there had been no request.
    pub fn ask(&mut self, tokens: u64) -> Result<(), Limited> {
        let now = self.limits.now();
        let mut locked: Vec<_> = self
            .scopes
            .iter()
            .map(|(scope, take)| (scope.lock(), *take))
            .collect();
        let refusals = locked
            .iter()
            .filter_map(|(scope, _)| scope.refusal_of_tokens(now, tokens));
        if let Some(refusal) = refusals.max_by_key(scope::Refusal::severity) {
            locked
                .iter_mut()
                .for_each(|(scope, take)| scope.give_back(*take));
            self.is_settled = true;
            return Err(refusal.into_limited(State::tightest(
                locked.iter().map(|(scope, _)| scope.state(now)),
            )));
        }
        locked
            .iter_mut()
            .for_each(|(scope, take)| scope.amend(now, *take, tokens));
        Ok(())
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
