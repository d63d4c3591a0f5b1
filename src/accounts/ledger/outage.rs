//! Runs that begin while the store is away: those of callers without a budget, if the operator lets them.
//!
//! Their holds are written to the journal, on the disk of this server, before they begin. A crash
//! charges them at the next start; otherwise they are charged by their ids once the store is back.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use uuid::Uuid;

use crate::domain::Amount;
use crate::domain::Caller;
use crate::storage::store;

use super::BudgetHold;
use super::Error;
use super::Ledger;
use super::LedgerInner;
use super::journaled_hold::JournaledHold;

/// Rules for the time in which the store is away, and whether it is. By default nothing is served.
#[derive(Default)]
pub(super) struct OutageRules {
    /// Tells whether some caller may be served; unset if none is.
    serves_any: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// Set while the last transaction failed because the store cannot be reached.
    is_away: AtomicBool,
    /// Number of servers with a lease when the store was last read; 0 before.
    servers: AtomicU32,
}

impl OutageRules {
    /// Notes what became of a transaction.
    pub(super) fn note<T>(&self, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.is_away.store(false, Relaxed),
            Err(Error::Store(error)) => {
                let is_away = matches!(error, store::Error::Unreachable(_));
                let was_away = self.is_away.swap(is_away, Relaxed);
                if is_away && !was_away && self.serves_any.get().is_some() {
                    tracing::warn!("store away, requests without a budget served from the journal");
                }
            }
            Err(_) => {}
        }
    }

    /// Returns true if the last transaction could not reach the store.
    pub(super) fn is_unreachable(&self) -> bool {
        self.is_away.load(Relaxed)
    }

    /// Notes the number of servers that have a lease, or had one that nobody has removed.
    pub(super) fn set_servers(&self, servers: usize) {
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        self.servers.store(servers, Relaxed);
    }
}

impl fmt::Debug for OutageRules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OutageRules")
            .field("is_away", &self.is_away)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Lets callers without a budget run while the store cannot be reached, if there is a journal.
    /// `serves_any` tells whether any of them is known now. Only the first call counts.
    pub fn serve_outages(&self, serves_any: impl Fn() -> bool + Send + Sync + 'static) {
        if self.0.journal.is_open() {
            self.0
                .outage
                .serves_any
                .get_or_init(|| Box::new(serves_any));
        }
    }

    /// Number of servers that share the store, this one too, as of the last renewal of its lease. One that
    /// was lost counts until another one has taken over from it.
    pub fn server_count(&self) -> u32 {
        self.0.outage.servers.load(Relaxed).max(1)
    }

    /// Returns true if the store cannot be reached, and some callers are served nevertheless.
    pub fn is_serving_outage(&self) -> bool {
        let serves_any = self.0.outage.serves_any.get();
        self.is_store_away() && serves_any.is_some_and(|serves_any| serves_any())
    }

    /// Returns true if the store is away, and runs of `caller` may begin: it has no budget, and its
    /// request neither an idempotency key nor an id by which it runs again, which are in the store.
    pub fn may_hold_in_journal(&self, caller: &Caller) -> bool {
        self.is_store_away()
            && !caller.grant.is_capped()
            && caller.idempotency_key.is_none()
            && caller.claim.object_id().is_none()
    }

    /// Holds `estimate` for `caller` as [`hold`](Self::hold) does; in the journal while the store is
    /// away, if [`may_hold_in_journal`](Self::may_hold_in_journal). Such a hold has an id of its own in
    /// place of `id`, and cannot be renamed or raised.
    ///
    /// # Errors
    /// As [`hold`](Self::hold), or the journal cannot be written.
    pub async fn hold_or_journal(
        &self,
        caller: &Caller,
        estimate: Amount,
        id: &str,
    ) -> Result<BudgetHold, Error> {
        if !self.may_hold_in_journal(caller) {
            match self.hold(caller, estimate, id).await {
                // The hold that has failed is released by its id, so this one has another.
                Err(Error::Store(_)) if self.may_hold_in_journal(caller) => {}
                held => return held,
            }
        }
        self.hold_in_journal(caller, estimate).await
    }

    /// Returns true if the store cannot be reached, and callers may be served nevertheless.
    fn is_store_away(&self) -> bool {
        let LedgerInner { outage, store, .. } = &*self.0;
        let is_unreachable = || matches!(store.check_writable(), Err(store::Error::Unreachable(_)));
        outage.serves_any.get().is_some() && (outage.is_unreachable() || is_unreachable())
    }

    async fn hold_in_journal(
        &self,
        caller: &Caller,
        estimate: Amount,
    ) -> Result<BudgetHold, Error> {
        let LedgerInner {
            clock,
            journal,
            metrics,
            ..
        } = &*self.0;
        let id = Uuid::now_v7().to_string();
        let held = Arc::new(JournaledHold::new(caller, estimate, clock.now()));
        let written = journal.hold(&id, &held);
        // The guard is made before the wait: if that is given up, it releases the hold.
        let hold = BudgetHold::new(self.clone(), id, held.amount(), Arc::clone(&caller.grant));
        let hold = hold.journaled(held);
        written.await?;
        metrics.count_journaled_hold();
        Ok(hold)
    }
}
