//! Rate limits that one server counts in its memory.
//!
//! [`LocalLimits::admit`] takes from all buckets or from none. Lock order: key, then project. Both locks
//! are held for check and debit; the fixed order prevents deadlock.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Caller;
use crate::domain::Rates;

use super::Config;
use super::limited_scopes;
use super::local_permit::LocalPermit;
use super::rate_limited::RateLimited;
use super::scope;
use super::scope::LimitScope;
use super::scope::SharedScopeLimiter;
use super::state::RateLimitState;

/// Interval at which idle scopes are evicted. A bucket refills within a minute.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Name of the scope that end users of a key share for whom there is no other. No end user has it,
/// because an id is not empty.
const OTHER_END_USERS: &str = "";

/// Rate limiter of this server alone, with whole limits or its share of them. Clones share the state.
#[derive(Debug, Clone)]
pub(super) struct LocalLimits(Arc<LocalLimitsInner>);

#[derive(Debug)]
struct LocalLimitsInner {
    config: Config,
    /// Number of servers that each limit is divided by; `None` for the limits of one server alone.
    servers: Option<NonZeroU32>,
    /// Origin of all times, which are nanoseconds since then.
    created_at: Instant,
    /// Keys and projects that have a limit and are active or not yet idle.
    scopes: DashMap<(LimitScope, String), SharedScopeLimiter>,
    /// Such end users of each key, by their ids.
    end_users: DashMap<String, HashMap<String, SharedScopeLimiter>>,
}

impl LocalLimits {
    /// Creates a limiter in which no limit is used yet.
    pub(super) fn new(config: Config) -> Self {
        Self::with_servers(config, None)
    }

    /// Creates a limiter with the share of one of `servers` in each limit, rounded down. All of it is used
    /// now, and fills up in a minute.
    pub(super) fn share(config: Config, servers: NonZeroU32) -> Self {
        Self::with_servers(config, Some(servers))
    }

    fn with_servers(config: Config, servers: Option<NonZeroU32>) -> Self {
        Self(Arc::new(LocalLimitsInner {
            config,
            servers,
            created_at: Instant::now(),
            scopes: DashMap::new(),
            end_users: DashMap::new(),
        }))
    }

    /// Admits a request of `caller` that needs about `estimated_tokens` for prompt and response.
    /// Atomic: if any limit refuses, nothing is taken from any of them.
    ///
    /// # Errors
    /// Fails when a limit of the key or of its project is reached, or is too small for the request
    /// at any time.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        estimated_tokens: u64,
    ) -> Result<LocalPermit, RateLimited> {
        let now = self.now();
        // The clones keep these scopes from being evicted between lookup and lock.
        let (scopes, rates): (Vec<SharedScopeLimiter>, Vec<Rates>) =
            limited_scopes(self.0.config, caller)
                .map(|(whose, name, rates)| (self.scope(whose, name), self.share_of(rates)))
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
        Ok(LocalPermit::new(
            self.clone(),
            scopes.into_iter().zip(debits).collect(),
        ))
    }

    /// Admits a request of about `tokens` by the limits `rates` of `end_user` of `key` alone.
    ///
    /// While `max` end users of the key are active, further ones share a scope.
    ///
    /// # Errors
    /// Fails when a limit is reached, or is too small for the request at any time.
    pub(super) fn admit_end_user(
        &self,
        key: &str,
        end_user: &str,
        rates: Rates,
        max: usize,
        tokens: u64,
    ) -> Result<LocalPermit, RateLimited> {
        let scope = self.end_user_scope(key, end_user, max);
        let now = self.now();
        let mut locked = scope.lock();
        locked.set_rates(self.share_of(rates), now);
        if let Some(refusal) = locked.limit_hit(now, tokens) {
            return Err(refusal.into_rate_limited(locked.state(now)));
        }
        let debit = locked.take_request(now, tokens);
        drop(locked);
        Ok(LocalPermit::new(self.clone(), vec![(scope, debit)]))
    }

    /// Spawns a background task that evicts idle scopes (full buckets, no running request) until
    /// `stop` is cancelled.
    pub(super) fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
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

    /// Number of keys, projects and end users with stored state.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let end_users = self.0.end_users.iter();
        self.0.scopes.len() + end_users.map(|of_key| of_key.len()).sum::<usize>()
    }

    /// True if no state is stored.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.scopes.is_empty() && self.0.end_users.is_empty()
    }

    fn sweep(&self) {
        let now = self.now();
        // `retain` holds the lock of the map shard, so no clone can appear during the check.
        self.0.scopes.retain(|_, scope| !scope.is_idle(now));
        if self.0.scopes.len() < self.0.scopes.capacity() / 4 {
            self.0.scopes.shrink_to_fit();
        }
        self.0.end_users.retain(|_, of_key| {
            of_key.retain(|_, scope| !scope.is_idle(now));
            if of_key.len() < of_key.capacity() / 4 {
                of_key.shrink_to_fit();
            }
            !of_key.is_empty()
        });
    }

    fn scope(&self, whose: LimitScope, name: &str) -> SharedScopeLimiter {
        self.0
            .scopes
            .entry((whose, name.to_owned()))
            .or_insert_with(|| SharedScopeLimiter::new(whose, self.0.servers.is_some()))
            .clone()
    }

    fn end_user_scope(&self, key: &str, end_user: &str, max: usize) -> SharedScopeLimiter {
        let mut of_key = self.0.end_users.entry(key.to_owned()).or_default();
        let id = if of_key.len() < max || of_key.contains_key(end_user) {
            end_user
        } else {
            OTHER_END_USERS
        };
        of_key
            .entry(id.to_owned())
            .or_insert_with(|| {
                SharedScopeLimiter::new(LimitScope::EndUser, self.0.servers.is_some())
            })
            .clone()
    }

    /// Returns what this server may admit of `rates`.
    fn share_of(&self, rates: Rates) -> Rates {
        let Some(servers) = self.0.servers else {
            return rates;
        };
        let share = |limit: Option<u32>| limit.map(|limit| limit / servers);
        Rates {
            requests_per_minute: share(rates.requests_per_minute),
            tokens_per_minute: share(rates.tokens_per_minute),
            concurrent_requests: share(rates.concurrent_requests),
            ..rates
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.0.created_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
