//! Rate limits: requests per minute, tokens per minute and concurrent requests, for each key, for all
//! keys of a project together, and for each end user of a key.
//!
//! Knows neither HTTP nor what a token costs. A limit per minute is a token bucket (GCRA) that holds
//! one minute's worth and refills evenly. The tokens of a request are only known when it ends;
//! [`bucket`] describes how corrections stay exact.
//!
//! The end user is known only with the body of a request, so [`RateLimits::take_end_user`] adds its
//! limits to a permit.
//!
//! One server counts in its memory ([`local`]). Servers that share a store count together, by one
//! script of the store's Redis that does the same ([`shared`]). While that is away, each of them may
//! admit its share ([`store_failure`]).

mod batch;
mod bucket;
mod local;
mod local_permit;
mod permit;
mod rate_limited;
mod scope;
mod shared;
mod state;
mod store_failure;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::Deserializer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Caller;
use crate::domain::Rates;
use crate::storage::store::Store;

use local::LocalLimits;
use shared::SharedLimits;

pub use permit::Permit;
pub use rate_limited::AdmitError;
pub use rate_limited::LimitKind;
pub use rate_limited::RateLimited;
pub use scope::LimitScope;
pub use state::LimitLevel;
pub use state::RateLimitState;

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

/// Rate limiter for all keys, projects and end users. Clones share the state.
#[derive(Debug, Clone)]
pub struct RateLimits(LimitsPlace);

/// Place where the limits are counted.
#[derive(Debug, Clone)]
enum LimitsPlace {
    /// Memory of this server.
    Here(LocalLimits),
    /// Store, for all servers that share it.
    Shared(SharedLimits),
}

impl RateLimits {
    /// Creates a limiter for one server, in which no limit is used yet.
    pub fn new(config: Config) -> Self {
        Self(LimitsPlace::Here(LocalLimits::new(config)))
    }

    /// Creates a limiter that counts in `store` for all servers that share it. What this server asks
    /// of it is sent by a task on `tracker`, which ends after the last clone and permit.
    pub fn shared(config: Config, store: Store, tracker: &TaskTracker) -> Self {
        Self(LimitsPlace::Shared(SharedLimits::new(
            config, store, tracker,
        )))
    }

    /// Admits callers without a budget by the share of this server in each limit while the store of
    /// shared limits cannot be reached. `servers` reads the number of servers that share it. Does nothing
    /// for limits of one server.
    pub fn serve_outages(&self, servers: impl Fn() -> u32 + Send + Sync + 'static) {
        match &self.0 {
            LimitsPlace::Here(_) => {}
            LimitsPlace::Shared(limits) => limits.failure().admit_shares(servers),
        }
    }

    /// Admits a request whose tokens are not known yet; [`Permit::take_tokens`] takes them later. Refuses a
    /// caller with no tokens left.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn admit_without_estimate(&self, caller: &Caller) -> Result<Permit, AdmitError> {
        self.admit(caller, 0).await
    }

    /// Admits a request of `caller` that needs about `estimated_tokens` for prompt and response.
    /// Atomic: if any limit refuses, nothing is taken from any of them.
    ///
    /// Does not wait with limits of one server.
    ///
    /// # Errors
    /// Fails when a limit of the key or of its project is reached, or is too small for the request
    /// at any time; or the store of shared limits fails.
    pub async fn admit(
        &self,
        caller: &Caller,
        estimated_tokens: u64,
    ) -> Result<Permit, AdmitError> {
        match &self.0 {
            LimitsPlace::Here(limits) => Ok(limits.admit(caller, estimated_tokens)?.into()),
            LimitsPlace::Shared(limits) => match limits.admit(caller, estimated_tokens).await {
                Ok(permit) => Ok(permit.into()),
                Err(error) => {
                    let admitted = limits.failure().admit(caller, estimated_tokens, error);
                    Ok(admitted?.into())
                }
            },
        }
    }

    /// Admits a request of `caller` that was admitted and counted before, and runs only now: it takes
    /// nothing from the limits of requests, and counts as concurrent. Limits of one server, which has no
    /// such requests, count it again.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), but for limits of requests.
    pub async fn admit_counted(&self, caller: &Caller) -> Result<Permit, AdmitError> {
        match &self.0 {
            LimitsPlace::Here(limits) => Ok(limits.admit(caller, 0)?.into()),
            LimitsPlace::Shared(limits) => Ok(limits.admit_counted(caller).await?.into()),
        }
    }

    /// Takes about `tokens` for a request of `caller` from all limits, those of its end user too: on the
    /// permit that was taken when the request came, or on a new one for a further turn of it.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), and [`take_end_user`](Self::take_end_user), whose refusal refunds the
    /// tokens.
    pub async fn take_permit(&self, caller: &Caller, tokens: u64) -> Result<Permit, AdmitError> {
        let mut permit = match caller.permit.take::<Permit>() {
            None => self.admit(caller, tokens).await?,
            Some(mut permit) => {
                permit.take_tokens(tokens).await?;
                permit
            }
        };
        let taken = self.take_end_user(&mut permit, caller, tokens);
        taken.await.inspect_err(|_| permit.settle(0))?;
        Ok(permit)
    }

    /// Takes a request of about `tokens` from the limits of the end user of `caller` as well, whom its
    /// body often names, and adds it to `permit`.
    ///
    /// Does nothing if the caller names none, if there are no such limits, or if `permit` has them.
    ///
    /// # Errors
    /// Fails when a limit of the end user is reached, or the store of shared limits fails. Nothing is
    /// taken from the end user then.
    pub async fn take_end_user(
        &self,
        permit: &mut Permit,
        caller: &Caller,
        tokens: u64,
    ) -> Result<(), AdmitError> {
        let terms = &caller.grant.end_users;
        let Some(end_user) = caller.end_user.as_ref() else {
            return Ok(());
        };
        let (key, end_user) = (caller.name.as_str(), end_user.as_str());
        let rates = terms.rates_of(key, end_user);
        if rates == Rates::default() || permit.has_end_user() {
            return Ok(());
        }
        let taken: Permit = match &self.0 {
            LimitsPlace::Here(limits) => {
                let max = usize::try_from(terms.max_per_key).unwrap_or(usize::MAX);
                let taken = limits.admit_end_user(key, end_user, rates, max, tokens)?;
                taken.into()
            }
            LimitsPlace::Shared(limits) => {
                let name = format!("{key}/{end_user}");
                match limits.admit_end_user(&name, rates, tokens).await {
                    Ok(permit) => permit.into(),
                    Err(error) => {
                        let failure = limits.failure();
                        let admitted =
                            failure.admit_end_user(caller, end_user, rates, tokens, error);
                        admitted?.into()
                    }
                }
            }
        };
        permit.add_end_user(taken);
        Ok(())
    }

    /// Spawns a background task that evicts idle scopes (full buckets, no running request) until
    /// `stop` is cancelled. Shared limits need none: their scopes expire.
    pub fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
        match &self.0 {
            LimitsPlace::Here(limits) => limits.spawn_cleanup(tracker, stop),
            LimitsPlace::Shared(_) => {}
        }
    }
}

/// Returns the key and the project of `caller` with their limits, those alone that have any.
fn limited_scopes(
    config: Config,
    caller: &Caller,
) -> impl Iterator<Item = (LimitScope, &str, Rates)> {
    let own = caller.grant.rates;
    // The weight is no rate limit; fair queueing reads it from the grant.
    let key_rates = Rates {
        requests_per_minute: own.requests_per_minute.or(config.requests_per_minute),
        tokens_per_minute: own.tokens_per_minute.or(config.tokens_per_minute),
        concurrent_requests: own.concurrent_requests.or(config.concurrent_requests),
        weight: None,
    };
    let project_rates = Rates {
        weight: None,
        ..caller.grant.project_rates
    };
    let scopes = [
        (LimitScope::Key, caller.name.as_str(), key_rates),
        (LimitScope::Project, caller.project.as_str(), project_rates),
    ];
    scopes
        .into_iter()
        .filter(|(.., rates)| *rates != Rates::default())
}
