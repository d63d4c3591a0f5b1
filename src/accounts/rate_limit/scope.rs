//! Whose limits they are, and what is left of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::domain::Rates;

use super::bucket::Bucket;
use super::bucket::Shortage;
use super::bucket::TakeId;
use super::limited::Limited;
use super::limited::What;
use super::state::State;

/// What is told to wait who has too many requests under way: long enough to let a short answer end.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The key's own.
    Key,
    /// That of all keys of the project together.
    Project,
}

/// A scope that requests hold on to. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Scope>>);

/// A key or a project.
#[derive(Debug)]
pub(super) struct Scope {
    whose: Whose,
    rates: Rates,
    running: u32,
    last_take: TakeId,
    /// None without a limit, and with one of nothing.
    requests: Option<Bucket>,
    /// As `requests`.
    tokens: Option<Bucket>,
}

/// Why a scope does not let a request pass.
#[derive(Debug)]
pub(super) struct Refusal {
    whose: Whose,
    what: What,
    limit: u32,
    shortage: Shortage,
}

impl Shared {
    pub(super) fn new(whose: Whose) -> Self {
        Self(Arc::new(Mutex::new(Scope {
            whose,
            rates: Rates::default(),
            running: 0,
            last_take: TakeId::FIRST,
            requests: None,
            tokens: None,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Scope> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to forget it changes nothing: nobody else has it, and it is as good as a new one.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        Arc::strong_count(&self.0) == 1 && self.lock().is_idle(now)
    }
}

impl Scope {
    /// Puts `rates` in force. What was taken stays taken.
    pub(super) fn set(&mut self, rates: Rates, now: u64) {
        self.rates = rates;
        set(&mut self.requests, rates.requests_per_minute, now);
        set(&mut self.tokens, rates.tokens_per_minute, now);
    }

    /// Why a request of about `tokens` cannot pass now: of several reasons the one that lasts longest.
    pub(super) fn refusal(&self, now: u64, tokens: u64) -> Option<Refusal> {
        let shortages = [
            (
                What::Requests,
                self.rates.requests_per_minute,
                shortage(self.requests.as_ref(), 1, now),
            ),
            (
                What::Tokens(tokens),
                self.rates.tokens_per_minute,
                shortage(self.tokens.as_ref(), tokens, now),
            ),
            (
                What::ConcurrentRequests,
                self.rates.concurrent_requests,
                self.crowd(),
            ),
        ];
        let refusals = shortages.into_iter().filter_map(|(what, limit, shortage)| {
            Some(Refusal {
                whose: self.whose,
                what,
                limit: limit?,
                shortage: shortage?,
            })
        });
        refusals.max_by_key(Refusal::severity)
    }

    fn crowd(&self) -> Option<Shortage> {
        match self.rates.concurrent_requests? {
            0 => Some(Shortage::Forever),
            most => (self.running >= most).then_some(Shortage::For(RETRY_WHEN_BUSY)),
        }
    }

    /// What is left, as far as there are limits.
    pub(super) fn state(&self, now: u64) -> State {
        let level = |bucket: &Bucket| bucket.level(now);
        State {
            requests: self.requests.as_ref().map(level),
            tokens: self.tokens.as_ref().map(level),
        }
    }

    /// Takes a request of about `tokens`. Gives what its tokens can be settled by.
    pub(super) fn take(&mut self, now: u64, tokens: u64) -> TakeId {
        let id = self.last_take.next();
        self.last_take = id;
        self.running += 1;
        if let Some(bucket) = &mut self.requests {
            bucket.take(id, 1, now, false);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(id, tokens, now, false);
        }
        id
    }

    /// Why a request that is let in cannot have about `tokens`.
    pub(super) fn refusal_of_tokens(&self, now: u64, tokens: u64) -> Option<Refusal> {
        let limit = self.rates.tokens_per_minute?;
        let shortage = shortage(self.tokens.as_ref(), tokens, now)?;
        Some(Refusal {
            whose: self.whose,
            what: What::Tokens(tokens),
            limit,
            shortage,
        })
    }

    /// Sets the estimated tokens of `take`.
    pub(super) fn amend(&mut self, now: u64, take: TakeId, tokens: u64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.amend(take, tokens, now);
        }
    }

    /// Makes it `tokens` that were taken as `take`, or leaves it at what it was. The request counts.
    pub(super) fn settle(&mut self, take: TakeId, tokens: Option<u64>) {
        if let Some(bucket) = &mut self.requests {
            bucket.settle(take, None);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(take, tokens);
        }
    }

    /// Undoes `take` in both buckets, requests and tokens.
    pub(super) fn give_back(&mut self, take: TakeId) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.settle(take, Some(0));
        }
    }

    /// A request has ended.
    pub(super) fn release(&mut self) {
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

fn set(bucket: &mut Option<Bucket>, limit: Option<u32>, now: u64) {
    match (bucket.as_mut(), limit.and_then(NonZeroU32::new)) {
        (Some(bucket), Some(limit)) => bucket.set(limit, now),
        (None, Some(limit)) => *bucket = Some(Bucket::new(limit)),
        (_, None) => *bucket = None,
    }
}

/// There is no bucket for a limit of nothing. Where there is no limit, nobody asks.
fn shortage(bucket: Option<&Bucket>, amount: u64, now: u64) -> Option<Shortage> {
    bucket.map_or(Some(Shortage::Forever), |bucket| {
        bucket.shortage(amount, now)
    })
}

impl Refusal {
    /// The greater, the longer it lasts.
    pub(super) fn severity(&self) -> Duration {
        match self.shortage {
            Shortage::For(wait) => wait,
            Shortage::Forever => Duration::MAX,
        }
    }

    pub(super) fn into_limited(self, state: State) -> Limited {
        let retry_after = match self.shortage {
            Shortage::For(wait) => Some(wait),
            Shortage::Forever => None,
        };
        Limited {
            what: self.what,
            whose: self.whose,
            limit: self.limit,
            retry_after,
            state,
        }
    }
}
