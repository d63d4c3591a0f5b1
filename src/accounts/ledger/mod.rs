//! Ledger of budget holds and charges.
//!
//! Before a run its estimate is held, which is written ahead of the run ([`Ledger::hold`]);
//! afterwards the [`BudgetHold`] is settled into a charge. Both are transactions of the store:
//! serialised, atomic, and on disk when they are done. Budgets are therefore exact under
//! concurrency, and a server that is killed knows its open holds: when the ledger is opened again,
//! holds of an earlier start are charged in full, except those of runs that are resumed or never
//! started.
//!
//! Durability: what was confirmed survives a kill at any moment, and a loss of power as far as the
//! disk keeps what it has confirmed. The store uses group commit: it writes several transactions at
//! once and syncs them before any of them is confirmed, so concurrent requests share the wait for
//! the disk (`cargo bench --bench serving -- ledger` measures it). Usage that was not confirmed is
//! lost with the process; its hold is charged instead.
//!
//! A [`LedgerReader`] reads usage from the store alone. Only a server opens the ledger; a command must
//! not, because opening charges the open holds.
//!
//! A charge has what it would have cost on the baseline beside its cost, and answers from the
//! response cache are counted without a charge ([`Ledger::count_reused_answer`]): their difference is
//! the saving ([`SavingSums`]).
//!
//! Days and months are those of UTC. A hold counts in the day and month in which it was placed, and
//! its charge is booked there too, even if it comes later.
//!
//! Usage and budgets of end users are kept by key and end user, in bounded number.
//!
//! Knows callers, tokens and money, but neither prices nor models, nor how a turn is run.
//! While a store that servers share is away, runs of callers without a budget may begin with a hold in the
//! journal ([`Ledger::serve_outages`]).
//!
//! [`Alert`]s go to the channel returned by [`Ledger::open`].

mod alerts;
mod archive;
mod budget;
mod calendar;
mod charge_codec;
mod charge_metrics;
mod charges;
mod clock;
mod close_journal;
mod closes;
mod codec;
mod end_users;
mod error;
mod hold;
mod hold_facts;
mod journaled_hold;
mod live_nodes;
mod migration;
mod node_lease;
mod outage;
mod pending_close;
mod reader;
mod records;
mod render;
mod render_savings;
mod reused_answers;
mod savings;
mod shared_locks;
mod spending;
mod storage_keys;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transactions;
mod usage;
mod usage_counters;
mod verify;
mod work_owners;
mod work_queue;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Grant;
use crate::runtime::setting;
use crate::storage::store::Store;
use crate::storage::store::Transaction;
use crate::telemetry::metrics::LedgerMetrics;

use close_journal::CloseJournal;
use hold::HoldClosing;
use node_lease::NodeLease;
use node_lease::StartedEpoch;
use outage::OutageRules;
use pending_close::FailedReleases;
use pending_close::PendingClose;
use pending_close::UntoldCharge;
use reused_answers::ReusedAnswers;

pub use alerts::Alert;
pub use archive::Restored;
pub use archive::count_records;
pub use archive::restore;
pub use budget::BudgetExceeded;
pub use budget::BudgetOwner;
pub use budget::BudgetScope;
pub use budget::BudgetUnit;
pub use budget::BudgetWindow;
pub use calendar::Day;
pub use charges::ListedCharge;
pub use clock::Clock;
pub use error::Error;
pub use hold::BudgetHold;
pub use hold::Charge;
pub use hold::ChargeCorrection;
pub use hold::ChargeOutcome;
pub use hold::ChargedFallback;
pub use live_nodes::LiveNodes;
pub use reader::BudgetStatus;
pub use reader::LedgerReader;
pub use render::to_csv;
pub use render::to_json;
pub use render::to_table;
pub use reused_answers::ReusedAnswer;
pub use savings::SavingSplit;
pub use savings::SavingSums;
pub use shared_locks::LockKind;
pub use shared_locks::SharedLock;
pub use shared_locks::SharedLocks;
pub use spending::SpendingHistory;
pub use transactions::resumable_id;
pub use transactions::waiting_id;
pub use usage::GroupBy;
pub use usage::UsagePeriod;
pub use usage::UsageQuery;
pub use usage::UsageReport;
pub use usage::UsageTotals;
pub use verify::VerifyReport;
pub use work_owners::AbandonedWork;
pub use work_owners::WorkKind;
pub use work_owners::WorkOwner;
pub use work_owners::WorkOwners;
pub use work_queue::WaitingWork;

/// Configuration of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Days for which single charges and the usage of end users are kept, ten years at most; the sums of
    /// keys are kept for ever.
    #[serde(deserialize_with = "setting::number::<1, 3_660, _, _>")]
    pub keep_charges_days: u32,
    /// Name of this server, the same at each start; different from those of the servers that share
    /// its store. No setting.
    #[serde(skip)]
    pub node: String,
}

/// Ledger of all budgets and charges. Clones share it.
#[derive(Clone)]
pub struct Ledger(Arc<LedgerInner>);

/// Ledger that has just been opened, with the results of opening it.
#[derive(Debug)]
pub struct OpenedLedger {
    /// The ledger itself, ready for use.
    pub ledger: Ledger,
    /// Number of holds of an earlier start that were charged in full because their result is
    /// unknown.
    pub charged_holds: usize,
    /// Number of other servers that use the same records now, or did and may still run.
    pub other_nodes: usize,
    /// Receiver of the budget alerts.
    pub alerts: UnboundedReceiver<Alert>,
}

struct LedgerInner {
    store: Store,
    clock: Clock,
    config: Config,
    lease: NodeLease,
    alerts: UnboundedSender<Alert>,
    metrics: LedgerMetrics,
    /// Holds that the store failed to close; retried by the task in `sweep`.
    pending_closes: Mutex<Vec<PendingClose>>,
    /// Holds of these that are to be released.
    failed_releases: FailedReleases,
    /// Copy of the closes on the disk of this server, if the store is elsewhere.
    journal: CloseJournal,
    /// Rules for the time in which the store is away.
    outage: OutageRules,
    /// Answers from the response cache that are not on disk; written by the task in `sweep`.
    reused: Arc<ReusedAnswers>,
    /// Set while the last transaction failed because of the store.
    is_failing: AtomicBool,
    /// Last failure of the store, or the start of this server.
    steady_since: Mutex<Instant>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ledger")
            .field("lease", &self.0.lease)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in `store`, once for each start of a server. Holds of its earlier starts are
    /// closed; those whose run may have gone upstream are charged in full. Those of other servers that
    /// are gone follow with a renewal of the lease.
    ///
    /// # Errors
    /// Fails when the records are newer than this program or unreadable, or the store fails.
    pub async fn open(store: Store, clock: Clock, config: Config) -> Result<OpenedLedger, Error> {
        Self::open_measured(store, clock, config, LedgerMetrics::default()).await
    }

    /// Opens the ledger as [`open`](Self::open) does. Its holds and charges are recorded in
    /// `metrics`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_measured(
        store: Store,
        clock: Clock,
        config: Config,
        metrics: LedgerMetrics,
    ) -> Result<OpenedLedger, Error> {
        Self::open_with(store, CloseJournal::default(), clock, config, metrics).await
    }

    /// Opens the ledger as [`open_measured`](Self::open_measured) does. What cannot be closed while
    /// `store` is away is kept in `journal`, which is this server's alone, and what the last start has
    /// left there is closed first.
    ///
    /// # Errors
    /// As [`open`](Self::open), or `journal` fails.
    pub async fn open_journaled(
        store: Store,
        journal: Store,
        clock: Clock,
        config: Config,
        metrics: LedgerMetrics,
    ) -> Result<OpenedLedger, Error> {
        let journal = CloseJournal::new(journal);
        let closed = journal.replay(&store, clock.now()).await?;
        if closed > 0 {
            tracing::info!(closed, "holds of the journal closed");
        }
        Self::open_with(store, journal, clock, config, metrics).await
    }

    async fn open_with(
        store: Store,
        journal: CloseJournal,
        clock: Clock,
        config: Config,
        metrics: LedgerMetrics,
    ) -> Result<OpenedLedger, Error> {
        let now = clock.clone();
        let node = config.node.clone();
        let is_shared = store.is_shared();
        let StartedEpoch {
            lease,
            charged_holds,
            other_nodes,
        } = store
            .transaction(move |transaction| {
                NodeLease::open(transaction, &node, is_shared, now.now())
            })
            .await?;
        let (sender, alerts) = mpsc::unbounded_channel();
        let outage = OutageRules::default();
        outage.set_servers(other_nodes + usize::from(is_shared));
        let inner = LedgerInner {
            store,
            clock,
            config,
            lease,
            alerts: sender,
            metrics,
            pending_closes: Mutex::default(),
            failed_releases: FailedReleases::default(),
            journal,
            outage,
            reused: Arc::default(),
            is_failing: AtomicBool::new(false),
            steady_since: Mutex::new(Instant::now()),
        };
        Ok(OpenedLedger {
            ledger: Self(Arc::new(inner)),
            charged_holds,
            other_nodes,
            alerts,
        })
    }

    /// Holds `estimate` for `caller` if each of its budgets has room beside what is spent and held.
    ///
    /// `id` is the idempotency key of the request, or of one attempt at it: it is charged at most
    /// once. The hold is on disk when the future is ready. The transaction is queued by the call
    /// itself; if the future is dropped, the hold is released.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] when a budget has no room, [`Error::Duplicate`] when the id is taken, or an
    /// error of the store.
    pub fn hold(
        &self,
        caller: &Caller,
        estimate: Amount,
        id: &str,
    ) -> impl Future<Output = Result<BudgetHold, Error>> + Send + use<> {
        let this = self.clone();
        let ledger = self.clone();
        let caller = caller.clone();
        let id = id.to_owned();
        let grant = Arc::clone(&caller.grant);
        let begun = Instant::now();
        let place = move |transaction: &mut Transaction<'_>| {
            let LedgerInner {
                clock,
                lease,
                failed_releases,
                ..
            } = &*ledger.0;
            let now = clock.now();
            let placed = transactions::place_hold(transaction, now, lease, &caller, estimate, &id);
            let held = placed.as_ref().map_or(&id, |placed| &placed.id);
            failed_releases.set_replaced(held, placed.is_ok());
            let placed = placed?;
            if placed.is_written {
                let (ledger, id) = (ledger.clone(), placed.id.clone());
                // Counted by the write, because the future may be dropped before its end.
                transaction.after_write(move |is_made| {
                    if is_made {
                        ledger.0.metrics.record_hold(begun.elapsed());
                        ledger.forget_replaced_release(&id);
                    }
                });
            }
            Ok::<_, Error>((placed.id, placed.amount))
        };
        let holder = self.clone();
        // The guard is made even if the future is dropped or the write fails, and then dropped too,
        // which releases the hold.
        let guard = move |(id, amount)| BudgetHold::new(holder, id, amount, grant);
        let held = self.0.store.transaction_then(place, guard);
        async move { this.record_store_health(held.await) }
    }

    fn raise(
        &self,
        id: &str,
        amount: Amount,
        grant: Arc<Grant>,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        let this = self.clone();
        let id = id.to_owned();
        let raised = self.0.store.transaction(move |transaction| {
            transactions::raise_hold(transaction, &id, amount, &grant)
        });
        async move { this.record_store_health(raised.await) }
    }

    fn rename(
        &self,
        id: &str,
        begun: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let this = self.clone();
        let ledger = self.clone();
        let id = id.to_owned();
        let begun = begun.to_owned();
        let renamed = self.0.store.transaction(move |transaction| {
            let ledger = ledger.clone();
            let pending_close = PendingClose {
                id: id.clone(),
                closing: HoldClosing::Released,
                grant: Arc::default(),
                is_repeated: false,
                untold: UntoldCharge::default(),
                journaled: None,
            };
            // The holder knows only the new id, so a failed rename releases the hold under the old
            // one.
            transaction.after_write(move |is_made| {
                if !is_made {
                    ledger.retry_later(pending_close);
                }
            });
            transactions::rename_hold(transaction, &id, &begun)
        });
        async move { this.record_store_health(renamed.await) }
    }

    /// True if nothing can be held or charged: the last transaction failed because of the store, or
    /// its disk is full now. A failed store is retried every second.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed) || self.0.store.check_writable().is_err()
    }

    /// True if other servers may use the same records at the same time.
    pub fn is_shared(&self) -> bool {
        self.0.store.is_shared()
    }

    fn record_store_health<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        self.0.outage.note(&result);
        match &result {
            Ok(_) => self.0.is_failing.store(false, Relaxed),
            Err(Error::Store(_)) => {
                self.0.is_failing.store(true, Relaxed);
                *self.lock_steady_since() = Instant::now();
            }
            Err(_) => {}
        }
        result
    }

    fn lock_steady_since(&self) -> MutexGuard<'_, Instant> {
        let steady_since = self.0.steady_since.lock();
        steady_since.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a reader of this ledger.
    pub fn reader(&self) -> LedgerReader {
        LedgerReader::new(self.0.store.clone(), self.0.clock.clone())
            .with_unwritten(Arc::clone(&self.0.reused))
    }
}
