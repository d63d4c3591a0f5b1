//! How often and how much may be asked: requests and tokens a minute and requests at the same time, of a key and of all
//! keys of a project together.
//!
//! Knows neither HTTP nor what a token costs. Whether something fits is [`governor`]'s rule, GCRA: a limit of so many a
//! minute is a bucket that holds a minute's worth and fills up evenly. What is in the buckets is kept here, because what a
//! request takes is only known when it is over, and governor cannot give back. [`bucket`] says how that is made exact.
//!
//! [`Limits::admit`] takes from all buckets or from none. All that belong to a request are looked at and taken from under
//! their locks: those of the key first, then the project's, so that nobody waits for each other.

mod bucket;
#[cfg(test)]
mod bucket_tests;
mod limited;
mod permit;
mod scope;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Caller;
use crate::domain::Rates;

use scope::Shared;

pub use limited::Limited;
pub use limited::What;
pub use permit::Permit;
pub use scope::Whose;
pub use state::Level;
pub use state::State;

/// How often those are looked for who have not asked for a while. A bucket fills up within a minute.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What holds where nobody says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Config {
    /// For each key, in the place of those limits that it has not of its own.
    pub key_rates: Rates,
}

/// Who has asked how much. Clones share it.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    /// Times are nanoseconds since then.
    begin: Instant,
    /// Only those who have a limit and have asked of late, or still do.
    scopes: DashMap<(Whose, String), Shared>,
}

impl Limits {
    /// Nobody has asked yet.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Inner {
            config,
            begin: Instant::now(),
            scopes: DashMap::new(),
        }))
    }

    /// Admits a request whose tokens are not known yet; [`Permit::ask`] takes them later. Refuses a caller with no tokens left.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn enter(&self, caller: &Caller) -> Result<Permit, Limited> {
        self.admit(caller, 0)
    }

    /// Lets `caller` make a request that takes about `estimated_tokens`, of its prompt and its answer. It takes nothing of
    /// any limit when one of them refuses it.
    ///
    /// # Errors
    /// When a limit of the key or of its project is reached, or is too small for such a request at any time.
    pub fn admit(&self, caller: &Caller, estimated_tokens: u64) -> Result<Permit, Limited> {
        let now = self.now();
        let limited = [
            (Whose::Key, &caller.name, self.key_rates(caller)),
            (
                Whose::Project,
                &caller.project,
                Rates {
                    weight: None,
                    ..caller.grant.project_rates
                },
            ),
        ]
        .into_iter()
        .filter(|(.., rates)| *rates != Rates::default());
        let (scopes, rates): (Vec<Shared>, Vec<Rates>) = limited
            .map(|(whose, name, rates)| (self.scope(whose, name), rates))
            .unzip();
        let mut locked: Vec<_> = scopes.iter().map(Shared::lock).collect();
        for (scope, rates) in locked.iter_mut().zip(rates) {
            scope.set(rates, now);
        }
        let refusals = locked
            .iter()
            .filter_map(|scope| scope.refusal(now, estimated_tokens));
        if let Some(refusal) = refusals.max_by_key(scope::Refusal::severity) {
            return Err(
                refusal.into_limited(State::tightest(locked.iter().map(|scope| scope.state(now))))
            );
        }
        let takes: Vec<_> = locked
            .iter_mut()
            .map(|scope| scope.take(now, estimated_tokens))
            .collect();
        drop(locked);
        Ok(Permit::new(
            self.clone(),
            scopes.into_iter().zip(takes).collect(),
        ))
    }

    /// Forgets those whose buckets are full and of whose requests none is running, from time to time, until `stop`.
    pub fn keep_tidy(&self, tracker: &TaskTracker, stop: CancellationToken) {
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

    /// How many keys and projects are kept in mind.
    pub fn len(&self) -> usize {
        self.0.scopes.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.0.scopes.is_empty()
    }

    fn sweep(&self) {
        let now = self.now();
        self.0.scopes.retain(|_, scope| !scope.is_idle(now));
        if self.0.scopes.len() < self.0.scopes.capacity() / 4 {
            self.0.scopes.shrink_to_fit();
        }
    }

    fn scope(&self, whose: Whose, name: &str) -> Shared {
        self.0
            .scopes
            .entry((whose, name.to_owned()))
            .or_insert_with(|| Shared::new(whose))
            .clone()
    }

    fn key_rates(&self, caller: &Caller) -> Rates {
        let (own, general) = (caller.grant.rates, self.0.config.key_rates);
        Rates {
            requests_per_minute: own.requests_per_minute.or(general.requests_per_minute),
            tokens_per_minute: own.tokens_per_minute.or(general.tokens_per_minute),
            concurrent_requests: own.concurrent_requests.or(general.concurrent_requests),
            // No limit: whose turn it is among those who wait is for others to say.
            weight: None,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
