//! Permit of a request that was admitted by the limits of one server.

use super::bucket::DebitId;
use super::local::LocalLimits;
use super::rate_limited::RateLimited;
use super::scope;
use super::scope::SharedScopeLimiter;
use super::state::RateLimitState;

/// Permit of an admitted request. Counts against the concurrency limit until it is dropped, so hold
/// it until the last byte of the response.
///
/// If dropped without being settled, the tokens that were [taken](Self::take_tokens) stay taken.
#[must_use = "dropping a permit ends its request"]
#[derive(Debug)]
pub(super) struct LocalPermit {
    limits: LocalLimits,
    scopes: Vec<(SharedScopeLimiter, DebitId)>,
    is_settled: bool,
}

impl LocalPermit {
    pub(super) fn new(limits: LocalLimits, scopes: Vec<(SharedScopeLimiter, DebitId)>) -> Self {
        Self {
            limits,
            scopes,
            is_settled: false,
        }
    }

    /// Takes about `tokens` for the prompt and the response of the request, in place of its
    /// estimate so far; in addition to what it was settled at, if it was.
    ///
    /// # Errors
    /// Fails when the token limit of the key or of its project does not suffice. All debits of the
    /// request are refunded then; the permit still counts as concurrent until it is dropped.
    pub(super) fn take_tokens(&mut self, tokens: u64) -> Result<(), RateLimited> {
        let now = self.limits.now();
        // A settled debit is final and may be merged with others, so a new one is taken.
        if std::mem::take(&mut self.is_settled) {
            for (scope, debit) in &mut self.scopes {
                *debit = scope.lock().next_debit_id();
            }
        }
        // Lock order: key, then project, as in `LocalLimits::admit`.
        let mut locked: Vec<_> = self
            .scopes
            .iter()
            .map(|(scope, debit)| (scope.lock(), *debit))
            .collect();
        let refusals = locked
            .iter()
            .filter_map(|(scope, _)| scope.token_limit_hit(now, tokens));
        if let Some(refusal) = refusals.max_by_key(scope::LimitHit::severity) {
            locked
                .iter_mut()
                .for_each(|(scope, debit)| scope.refund(*debit));
            self.is_settled = true;
            return Err(refusal.into_rate_limited(RateLimitState::tightest(
                locked.iter().map(|(scope, _)| scope.state(now)),
            )));
        }
        locked
            .iter_mut()
            .for_each(|(scope, debit)| scope.amend(now, *debit, tokens));
        Ok(())
    }

    /// Corrects the token debit to the `tokens` that the request really used, more or fewer than
    /// estimated. Above the limit the bucket goes into debt, and later requests wait. Only the
    /// first call after tokens were taken has an effect.
    pub(super) fn settle(&mut self, tokens: u64) {
        self.settle_at(Some(tokens));
    }

    /// Remaining limits now, for the response headers.
    pub(super) fn state(&self) -> RateLimitState {
        let now = self.limits.now();
        RateLimitState::tightest(self.scopes.iter().map(|(scope, _)| scope.lock().state(now)))
    }

    fn settle_at(&mut self, tokens: Option<u64>) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        for (scope, debit) in &self.scopes {
            scope.lock().settle(*debit, tokens);
        }
    }
}

impl Drop for LocalPermit {
    fn drop(&mut self) {
        // Settled at the estimate if nothing was reported.
        self.settle_at(None);
        for (scope, _) in &self.scopes {
            scope.lock().release_slot();
        }
    }
}
