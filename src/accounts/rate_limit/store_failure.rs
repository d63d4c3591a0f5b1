//! Failure of the store of shared limits, and what a server admits by itself meanwhile.
//!
//! A server admits its share of each limit, so that all servers together admit no more than the limit.
//! Nothing is left of a share when the store fails, because the store may have admitted all of it just
//! before; it fills up in a minute.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;

use crate::domain::Caller;
use crate::domain::Rates;
use crate::storage::store;

use super::Config;
use super::limited_scopes;
use super::local::LocalLimits;
use super::local_permit::LocalPermit;
use super::rate_limited::AdmitError;

/// Reason why the store does not answer, while it does not. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct StoreFailure(Arc<StoreFailureInner>);

#[derive(Debug)]
struct StoreFailureInner {
    config: Config,
    failed: Mutex<Option<FailedStore>>,
    /// Reads the number of servers; unset if nothing is admitted without the store.
    servers: OnceLock<ServerCount>,
}

/// Store that does not answer.
#[derive(Debug)]
struct FailedStore {
    reason: store::Error,
    /// Limits of this server until it answers, with its share; unset before the first request.
    shares: Option<OutageShares>,
}

/// Share of one server in the limits. Clones share the state.
#[derive(Debug, Clone)]
struct OutageShares {
    limits: LocalLimits,
    servers: NonZeroU32,
}

/// Reader of the number of servers that share the store.
struct ServerCount(Box<dyn Fn() -> u32 + Send + Sync>);

impl fmt::Debug for ServerCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerCount")
            .finish_non_exhaustive()
    }
}

impl StoreFailure {
    /// Creates the state of a store that answers, for limits with these defaults.
    pub(super) fn new(config: Config) -> Self {
        Self(Arc::new(StoreFailureInner {
            config,
            failed: Mutex::default(),
            servers: OnceLock::new(),
        }))
    }

    /// Admits shares of the limits while the store cannot be reached. `servers` reads the number of
    /// servers. Only the first call counts.
    pub(super) fn admit_shares(&self, servers: impl Fn() -> u32 + Send + Sync + 'static) {
        self.0
            .servers
            .get_or_init(|| ServerCount(Box::new(servers)));
    }

    /// Returns the reason, if the store does not answer.
    pub(super) fn get(&self) -> Option<store::Error> {
        self.lock().as_ref().map(|failed| failed.reason.clone())
    }

    /// Notes that the store does not answer. Returns true if it has answered before.
    pub(super) fn begin(&self, reason: store::Error) -> bool {
        let mut failed = self.lock();
        let shares = failed.take().map(|earlier| earlier.shares);
        let is_new = shares.is_none();
        let shares = shares.flatten();
        *failed = Some(FailedStore { reason, shares });
        is_new
    }

    /// Notes that the store answers. Returns true if it has not before.
    pub(super) fn end(&self) -> bool {
        self.lock().take().is_some()
    }

    /// Admits a request of `caller` by the share of this server, after the store has failed with
    /// `error`.
    ///
    /// # Errors
    /// A limit of the share is reached; or `error`, if the request may not be admitted without the store:
    /// the caller has a budget, or a limit that is smaller than the number of servers.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        tokens: u64,
        error: AdmitError,
    ) -> Result<LocalPermit, AdmitError> {
        let Some(shares) = self.shares(caller, &error) else {
            return Err(error);
        };
        let mut scopes = limited_scopes(self.0.config, caller);
        if !scopes.all(|(.., rates)| shares.has_room(rates)) {
            return Err(error);
        }
        Ok(shares.limits.admit(caller, tokens)?)
    }

    /// Admits a request of `caller` for `end_user` by the share of this server in the limits `rates` alone.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub(super) fn admit_end_user(
        &self,
        caller: &Caller,
        end_user: &str,
        rates: Rates,
        tokens: u64,
        error: AdmitError,
    ) -> Result<LocalPermit, AdmitError> {
        let shares = self.shares(caller, &error);
        let Some(shares) = shares.filter(|shares| shares.has_room(rates)) else {
            return Err(error);
        };
        let max = usize::try_from(caller.grant.end_users.max_per_key).unwrap_or(usize::MAX);
        let limits = shares.limits;
        Ok(limits.admit_end_user(&caller.name, end_user, rates, max, tokens)?)
    }

    /// Returns the shares for `caller`; `None` if `error` is another one than of a store that is away, or
    /// the caller may not be served without it.
    fn shares(&self, caller: &Caller, error: &AdmitError) -> Option<OutageShares> {
        let servers = self.0.servers.get()?;
        let is_away = matches!(error, AdmitError::Store(store::Error::Unreachable(_)));
        if !is_away || caller.grant.is_capped() {
            return None;
        }
        let mut failed = self.lock();
        let shares = &mut failed.as_mut()?.shares;
        let shares = shares.get_or_insert_with(|| {
            let servers = NonZeroU32::new((servers.0)()).unwrap_or(NonZeroU32::MIN);
            OutageShares {
                limits: LocalLimits::share(self.0.config, servers),
                servers,
            }
        });
        Some(shares.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<FailedStore>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutageShares {
    /// Returns true if something of each limit is left for one server.
    fn has_room(&self, rates: Rates) -> bool {
        let limits = [
            rates.requests_per_minute,
            rates.tokens_per_minute,
            rates.concurrent_requests,
        ];
        let mut limits = limits.into_iter().flatten();
        limits.all(|limit| limit == 0 || limit >= self.servers.get())
    }
}

#[cfg(test)]
#[path = "store_failure_tests.rs"]
mod tests;
