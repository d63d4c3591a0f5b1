//! Limits of one key, one project or one end user, and their current state.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::domain::Rates;

use super::bucket::Bucket;
use super::bucket::DebitId;
use super::bucket::Shortage;
use super::rate_limited::LimitKind;
use super::rate_limited::RateLimited;
use super::state::RateLimitState;

/// `Retry-After` for the concurrency limit: long enough for a short response to end.
const CONCURRENCY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Scope of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Limit of the key itself.
    Key,
    /// Limit of all keys of the project together.
    Project,
    /// Limit of one end user of the key.
    EndUser,
}

/// Shared handle to a scope; clones refer to the same one.
#[derive(Debug, Clone)]
pub(super) struct SharedScopeLimiter(Arc<Mutex<ScopeLimiter>>);

/// Rate limits and buckets of one key, project or end user.
#[derive(Debug)]
pub(super) struct ScopeLimiter {
    scope: LimitScope,
    rates: Rates,
    running: u32,
    last_debit_id: DebitId,
    /// True if its buckets were empty when the limits were created.
    begins_used_up: bool,
    /// `None` without a limit, and for a limit of zero.
    requests: Option<Bucket>,
    /// `None` as for `requests`.
    tokens: Option<Bucket>,
}

/// Limit of a scope that a request exceeds.
#[derive(Debug)]
pub(super) struct LimitHit {
    scope: LimitScope,
    kind: LimitKind,
    limit: u32,
    shortage: Shortage,
}

impl SharedScopeLimiter {
    /// Creates a scope without limits. The buckets of those that it gets begin full, or
    /// `begins_used_up`.
    pub(super) fn new(whose: LimitScope, begins_used_up: bool) -> Self {
        Self(Arc::new(Mutex::new(ScopeLimiter {
            scope: whose,
            rates: Rates::default(),
            running: 0,
            last_debit_id: DebitId::FIRST,
            begins_used_up,
            requests: None,
            tokens: None,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ScopeLimiter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if eviction loses nothing: no other handle exists, and the state equals a new one.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        Arc::strong_count(&self.0) == 1 && self.lock().is_idle(now)
    }
}

impl ScopeLimiter {
    /// Applies `rates`; earlier debits are kept.
    pub(super) fn set_rates(&mut self, rates: Rates, now: u64) {
        self.rates = rates;
        let new_bucket = if self.begins_used_up {
            Bucket::used_up
        } else {
            Bucket::new
        };
        for (bucket, limit) in [
            (&mut self.requests, rates.requests_per_minute),
            (&mut self.tokens, rates.tokens_per_minute),
        ] {
            match (bucket.as_mut(), limit.and_then(NonZeroU32::new)) {
                (Some(bucket), Some(limit)) => bucket.set_limit(limit, now),
                (None, Some(limit)) => *bucket = Some(new_bucket(limit)),
                (_, None) => *bucket = None,
            }
        }
    }

    /// Checks a request of about `tokens`; returns the limit it exceeds, the one with the longest
    /// wait if several. Takes nothing.
    pub(super) fn limit_hit(&self, now: u64, tokens: u64) -> Option<LimitHit> {
        let shortages = [
            (
                LimitKind::Requests,
                self.rates.requests_per_minute,
                bucket_shortage(self.requests.as_ref(), 1, now),
            ),
            (
                LimitKind::Tokens(tokens),
                self.rates.tokens_per_minute,
                bucket_shortage(self.tokens.as_ref(), tokens, now),
            ),
            (
                LimitKind::ConcurrentRequests,
                self.rates.concurrent_requests,
                self.concurrency_shortage(),
            ),
        ];
        let refusals = shortages.into_iter().filter_map(|(what, limit, shortage)| {
            Some(LimitHit {
                scope: self.scope,
                kind: what,
                limit: limit?,
                shortage: shortage?,
            })
        });
        refusals.max_by_key(LimitHit::severity)
    }

    fn concurrency_shortage(&self) -> Option<Shortage> {
        match self.rates.concurrent_requests? {
            0 => Some(Shortage::Permanent),
            max => (self.running >= max).then_some(Shortage::Temporary(CONCURRENCY_RETRY_AFTER)),
        }
    }

    /// Remaining amounts of the limits that are set.
    pub(super) fn state(&self, now: u64) -> RateLimitState {
        let level = |bucket: &Bucket| bucket.level(now);
        RateLimitState {
            requests: self.requests.as_ref().map(level),
            tokens: self.tokens.as_ref().map(level),
        }
    }

    /// Returns the id of the next debits.
    pub(super) fn next_debit_id(&mut self) -> DebitId {
        self.last_debit_id = self.last_debit_id.next();
        self.last_debit_id
    }

    /// Takes one request and about `tokens`, and counts the request as running. Returns the id by
    /// which its debits can be corrected.
    pub(super) fn take_request(&mut self, now: u64, tokens: u64) -> DebitId {
        let id = self.next_debit_id();
        self.running += 1;
        if let Some(bucket) = &mut self.requests {
            bucket.take(id, 1, now, false);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(id, tokens, now, false);
        }
        id
    }

    /// Checks if an admitted request can take about `tokens`; returns the exceeded limit if not.
    pub(super) fn token_limit_hit(&self, now: u64, tokens: u64) -> Option<LimitHit> {
        let limit = self.rates.tokens_per_minute?;
        let shortage = bucket_shortage(self.tokens.as_ref(), tokens, now)?;
        Some(LimitHit {
            scope: self.scope,
            kind: LimitKind::Tokens(tokens),
            limit,
            shortage,
        })
    }

    /// Changes the estimated tokens of `debit`.
    pub(super) fn amend(&mut self, now: u64, debit: DebitId, tokens: u64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.amend(debit, tokens, now);
        }
    }

    /// Settles the token debit `debit` at `tokens`, or at its estimate if `None`. The request debit
    /// stays.
    pub(super) fn settle(&mut self, debit: DebitId, tokens: Option<u64>) {
        if let Some(bucket) = &mut self.requests {
            bucket.settle(debit, None);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(debit, tokens);
        }
    }

    /// Refunds `debit` in both buckets, requests and tokens.
    pub(super) fn refund(&mut self, debit: DebitId) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.settle(debit, Some(0));
        }
    }

    /// Ends a running request: frees its slot of the concurrency limit.
    pub(super) fn release_slot(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.running > 0
    }

    fn is_idle(&self, now: u64) -> bool {
        let mut buckets = [&self.requests, &self.tokens].into_iter().flatten();
        self.running == 0 && buckets.all(|bucket| bucket.is_idle(now))
    }
}

/// Shortage in `bucket`. A missing bucket means a limit of zero here; scopes without a limit ignore
/// the result.
fn bucket_shortage(bucket: Option<&Bucket>, amount: u64, now: u64) -> Option<Shortage> {
    bucket.map_or(Some(Shortage::Permanent), |bucket| {
        bucket.shortage(amount, now)
    })
}

impl LimitHit {
    /// Order of severity: the time until the request could pass.
    pub(super) fn severity(&self) -> Duration {
        match self.shortage {
            Shortage::Temporary(wait) => wait,
            Shortage::Permanent => Duration::MAX,
        }
    }

    pub(super) fn into_rate_limited(self, state: RateLimitState) -> RateLimited {
        let retry_after = match self.shortage {
            Shortage::Temporary(wait) => Some(wait),
            Shortage::Permanent => None,
        };
        RateLimited {
            kind: self.kind,
            scope: self.scope,
            limit: self.limit,
            retry_after,
            state,
        }
    }
}
