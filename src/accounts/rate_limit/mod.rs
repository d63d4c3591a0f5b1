//! Rate limits: requests per minute, tokens per minute and concurrent requests, for each key and
//! for all keys of a project together.
//!
//! Knows neither HTTP nor what a token costs. A limit per minute is a token bucket (GCRA) that holds
//! one minute's worth and refills evenly. The tokens of a request are only known when it ends;
//! [`bucket`] describes how corrections stay exact.
//!
//! [`RateLimits::admit`] takes from all buckets or from none. Lock order: key, then project. Both locks
//! are held for check and debit; the fixed order prevents deadlock.

mod bucket;
mod permit;
mod rate_limited;
mod scope;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use serde::Deserialize;
use serde::Deserializer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Caller;
use crate::domain::Rates;

use scope::SharedScopeLimiter;

pub use permit::Permit;
pub use rate_limited::LimitKind;
pub use rate_limited::RateLimited;
pub use scope::LimitScope;
pub use state::LimitLevel;
pub use state::RateLimitState;

/// Interval at which idle scopes are evicted. A bucket refills within a minute.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Default rate limits of a key, 0 for none; limits of its own take precedence one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Maximum requests per minute.
    #[serde(deserialize_with = "limit")]
    pub requests_per_minute: Option<u32>,
    /// Maximum tokens per minute, of prompts and answers together.
    #[serde(deserialize_with = "limit")]
    pub tokens_per_minute: Option<u32>,
    /// Maximum number of concurrent requests.
    #[serde(deserialize_with = "limit")]
    pub concurrent_requests: Option<u32>,
}

/// Reads a limit, where 0 means none.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    u32::deserialize(deserializer).map(|limit| Some(limit).filter(|limit| *limit > 0))
}

/// Rate limiter for all keys and projects. Clones share the state.
#[derive(Debug, Clone)]
pub struct RateLimits(Arc<RateLimitsInner>);

#[derive(Debug)]
struct RateLimitsInner {
    config: Config,
    /// Origin of all times, which are nanoseconds since then.
    created_at: Instant,
    /// Keys and projects that have a limit and are active or not yet idle.
    scopes: DashMap<(LimitScope, String), SharedScopeLimiter>,
}

impl RateLimits {
    /// Creates a limiter in which no limit is used yet.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(RateLimitsInner {
            config,
            created_at: Instant::now(),
            scopes: DashMap::new(),
        }))
    }

    /// Admits a request whose tokens are not known yet; [`Permit::take_tokens`] takes them later. Refuses a
    /// caller with no tokens left.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_without_estimate(&self, caller: &Caller) -> Result<Permit, RateLimited> {
        self.admit(caller, 0)
    }

    /// Admits a request of `caller` that needs about `estimated_tokens` for prompt and response.
    /// Atomic: if any limit refuses, nothing is taken from any of them.
    ///
    /// # Errors
    /// Fails when a limit of the key or of its project is reached, or is too small for the request
    /// at any time.
    pub fn admit(&self, caller: &Caller, estimated_tokens: u64) -> Result<Permit, RateLimited> {
        let now = self.now();
        let limited = [
            (LimitScope::Key, &caller.name, self.key_rates(caller)),
            (
                LimitScope::Project,
                &caller.project,
                Rates {
                    weight: None,
                    ..caller.grant.project_rates
                },
            ),
        ]
        .into_iter()
        .filter(|(.., rates)| *rates != Rates::default());
        // The clones keep these scopes from being evicted between lookup and lock.
        let (scopes, rates): (Vec<SharedScopeLimiter>, Vec<Rates>) = limited
            .map(|(whose, name, rates)| (self.scope(whose, name), rates))
            .unzip();
        // Lock order: key, then project; both are held for check and debit.
        let mut locked: Vec<_> = scopes.iter().map(SharedScopeLimiter::lock).collect();
        for (scope, rates) in locked.iter_mut().zip(rates) {
            scope.set_rates(rates, now);
        }
        let refusals = locked
            .iter()
            .filter_map(|scope| scope.limit_hit(now, estimated_tokens));
        if let Some(refusal) = refusals.max_by_key(scope::LimitHit::severity) {
            return Err(refusal.into_rate_limited(RateLimitState::tightest(
                locked.iter().map(|scope| scope.state(now)),
            )));
        }
        let debits: Vec<_> = locked
            .iter_mut()
            .map(|scope| scope.take_request(now, estimated_tokens))
            .collect();
        drop(locked);
        Ok(Permit::new(
            self.clone(),
            scopes.into_iter().zip(debits).collect(),
        ))
    }

    /// Spawns a background task that evicts idle scopes (full buckets, no running request) until
    /// `stop` is cancelled.
    pub fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let limits = self.clone();
        tracker.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                limits.sweep();
            }
        });
    }

    /// Number of keys and projects with stored state.
    pub fn len(&self) -> usize {
        self.0.scopes.len()
    }

    /// True if no state is stored.
    pub fn is_empty(&self) -> bool {
        self.0.scopes.is_empty()
    }

    fn sweep(&self) {
        let now = self.now();
        // `retain` holds the lock of the map shard, so no clone can appear during the check.
        self.0.scopes.retain(|_, scope| !scope.is_idle(now));
        if self.0.scopes.len() < self.0.scopes.capacity() / 4 {
            self.0.scopes.shrink_to_fit();
        }
    }

    fn scope(&self, whose: LimitScope, name: &str) -> SharedScopeLimiter {
        self.0
            .scopes
            .entry((whose, name.to_owned()))
            .or_insert_with(|| SharedScopeLimiter::new(whose))
            .clone()
    }

    fn key_rates(&self, caller: &Caller) -> Rates {
        let own = caller.grant.rates;
        let general = self.0.config;
        Rates {
            requests_per_minute: own.requests_per_minute.or(general.requests_per_minute),
            tokens_per_minute: own.tokens_per_minute.or(general.tokens_per_minute),
            concurrent_requests: own.concurrent_requests.or(general.concurrent_requests),
            // The weight is no rate limit; fair queueing reads it from the grant.
            weight: None,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.created_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
