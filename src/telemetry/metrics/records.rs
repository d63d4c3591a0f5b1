//! Metrics of what is written to disk: transactions of the store, holds and charges of the ledger.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels;
use super::labels::CounterFamily;
use super::labels::disk_histogram;
use super::spending::ChargedUsage;
use super::spending::ComparedCost;
use super::spending::SpendingMetrics;

/// Bounds of the number of transactions that one disk sync is for.
const GROUP_SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Durations and sizes of the store's group commits. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    commit: Histogram,
    transactions: Histogram,
    failed: CounterFamily<FailureLabel>,
    lost_commits: Counter,
    restored_facts: Counter,
    forgotten_facts: Counter,
}

/// Reason why a transaction of the store is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFailure {
    /// Disk without the space that the transaction needs.
    DiskFull,
    /// Store that is being opened again after a failed write.
    Recovering,
    /// Records that other servers change at each attempt.
    Conflict,
    /// Replicas that have not confirmed the change in time.
    NotReplicated,
    /// Engine or disk that fails otherwise.
    Engine,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    reason: &'static str,
}

/// Durations of the ledger's writes. Clones share them.
#[derive(Debug, Clone)]
pub struct LedgerMetrics {
    hold: Histogram,
    charge: Histogram,
    journaled_holds: Counter,
    spending: SpendingMetrics,
}

impl CommitFailure {
    const ALL: [Self; 5] = [
        Self::DiskFull,
        Self::Recovering,
        Self::Conflict,
        Self::NotReplicated,
        Self::Engine,
    ];

    fn label(self) -> FailureLabel {
        let reason = match self {
            Self::DiskFull => "disk_full",
            Self::Recovering => "recovering",
            Self::Conflict => "conflict",
            Self::NotReplicated => "not_replicated",
            Self::Engine => "engine",
        };
        FailureLabel { reason }
    }
}

impl Default for StoreMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl Default for LedgerMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default(), SpendingMetrics::default())
    }
}

impl StoreMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commit: disk_histogram(),
            transactions: labels::histogram(GROUP_SIZES),
            failed: CounterFamily::default(),
            lost_commits: Counter::default(),
            restored_facts: Counter::default(),
            forgotten_facts: Counter::default(),
        };
        // The first failure of each kind is an increase, too.
        for failure in CommitFailure::ALL {
            drop(metrics.failed.get_or_create(&failure.label()));
        }
        registry.register(
            "store_commit_seconds",
            "Time that the store takes to write a group of transactions and to sync it to the disk",
            metrics.commit.clone(),
        );
        registry.register(
            "store_commit_transactions",
            "Transactions that are written with one disk sync",
            metrics.transactions.clone(),
        );
        registry.register(
            "store_failed_commits",
            "Transactions that could not be written, by reason",
            metrics.failed.clone(),
        );
        registry.register(
            "store_lost_commits",
            "Commits that the Redis of the store has confirmed and lost, as this server has found",
            metrics.lost_commits.clone(),
        );
        registry.register(
            "store_restored_facts",
            "Charges, holds, releases, revocations and results of this server that were lost and made again",
            metrics.restored_facts.clone(),
        );
        registry.register(
            "store_forgotten_facts",
            "Facts of this server that it has forgotten within a minute, for lack of memory, and could not make again",
            metrics.forgotten_facts.clone(),
        );
        metrics
    }

    /// Records a group commit of `transactions` that took `time`.
    pub fn record_commit(&self, transactions: usize, time: Duration) {
        self.commit.observe(time.as_secs_f64());
        self.transactions.observe(transactions as f64);
    }

    /// Counts commits that the store has lost.
    pub fn count_lost_commits(&self, commits: u64) {
        self.lost_commits.inc_by(commits);
    }

    /// Counts facts that the store had lost, and that were committed again.
    pub fn count_restored_facts(&self, facts: u64) {
        self.restored_facts.inc_by(facts);
    }

    /// Counts facts that were forgotten before their time, because there were too many.
    pub fn count_forgotten_facts(&self, facts: u64) {
        self.forgotten_facts.inc_by(facts);
    }

    /// Counts a transaction that could not be written.
    pub fn count_failed_commit(&self, failure: CommitFailure) {
        self.failed.get_or_create(&failure.label()).inc();
    }
}

impl LedgerMetrics {
    pub(super) fn register(registry: &mut Registry, spending: SpendingMetrics) -> Self {
        let metrics = Self {
            hold: disk_histogram(),
            charge: disk_histogram(),
            journaled_holds: Counter::default(),
            spending,
        };
        registry.register(
            "hold_seconds",
            "Time until the hold of a run is on disk",
            metrics.hold.clone(),
        );
        registry.register(
            "charge_seconds",
            "Time until the charge of a run is on disk",
            metrics.charge.clone(),
        );
        registry.register(
            "journaled_holds",
            "Runs that began while the Redis of the store was away, with a hold in the journal of this server",
            metrics.journaled_holds.clone(),
        );
        metrics
    }

    /// Records the time until a hold is on disk.
    pub fn record_hold(&self, time: Duration) {
        self.hold.observe(time.as_secs_f64());
    }

    /// Counts a run that begins while the store is away.
    pub fn count_journaled_hold(&self) {
        self.journaled_holds.inc();
    }

    /// Records the time until a charge is on disk, and counts its tokens and dollars.
    pub fn record_charge(&self, time: Duration, charge: &ChargedUsage<'_>) {
        self.charge.observe(time.as_secs_f64());
        self.spending.count_charge(charge);
    }

    /// Counts what a request has saved against the baseline.
    pub fn record_saving(&self, compared: &ComparedCost) {
        self.spending.count_saving(compared);
    }
}
