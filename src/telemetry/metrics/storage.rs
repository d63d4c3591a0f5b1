//! Metrics of the store and the ledger.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::seconds_histogram;

/// Bounds of the number of transactions that are written with one sync.
const GROUP_SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Durations of writes to disk.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    commit: Histogram,
    group: Histogram,
}

/// Durations of holds and charges until they are on disk.
#[derive(Debug, Clone)]
pub struct LedgerMetrics {
    hold: Histogram,
    charge: Histogram,
}

impl StoreMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commit: seconds_histogram(),
            group: Histogram::new(GROUP_SIZES),
        };
        registry.register(
            "store_commit_seconds",
            "Time to write a group of transactions and sync it to disk",
            metrics.commit.clone(),
        );
        registry.register(
            "store_commit_transactions",
            "Transactions that are written with one sync",
            metrics.group.clone(),
        );
        metrics
    }

    /// Records a write of `transactions` with one sync.
    pub fn record_commit(&self, transactions: usize, time: Duration) {
        self.commit.observe(time.as_secs_f64());
        self.group.observe(transactions as f64);
    }
}

impl LedgerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            hold: seconds_histogram(),
            charge: seconds_histogram(),
        };
        registry.register(
            "hold_seconds",
            "Time until a budget hold is on disk",
            metrics.hold.clone(),
        );
        registry.register(
            "charge_seconds",
            "Time until a charge or a release is on disk",
            metrics.charge.clone(),
        );
        metrics
    }

    /// Records the time until a hold was on disk.
    pub fn record_hold(&self, time: Duration) {
        self.hold.observe(time.as_secs_f64());
    }

    /// Records the time until a hold was closed on disk.
    pub fn record_charge(&self, time: Duration) {
        self.charge.observe(time.as_secs_f64());
    }
}
