//! Background upkeep of the ledger: retries failed closes, writes the counts of reused answers, and
//! deletes old charges, meters and usage of end users.

use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;

use super::Error;
use super::Ledger;
use super::LedgerInner;
use super::budget::BudgetWindow;
use super::calendar::Day;
use super::calendar::Span;
use super::node_lease::TAKEOVER_PAUSE;
use super::pending_close::PendingClose;
use super::records::LedgerHead;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::storage_keys;

/// Interval at which failed closes are retried. The next transaction reopens a failed store.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of failed closes that are queued together.
const MAX_CLOSES_AT_ONCE: usize = 256;
/// Number of retry intervals between two renewals of the lease.
const RENEW_INTERVALS: u32 = 5;
/// Number of retry intervals between two writes of the answers from the response cache.
const ANSWER_INTERVALS: u32 = 5;
/// Number of retry intervals between two sweeps. Sweeps delete whole days, so they can be rare.
const SWEEP_INTERVALS: u32 = 600;
/// Maximum number of records deleted in one transaction, so that other transactions are not held
/// up.
const MAX_RECORDS_PER_SWEEP: usize = 256;

impl Ledger {
    /// Spawns the background task that retries failed closes, writes the counts of reused answers and
    /// deletes charges after their retention time, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let ledger = self.clone();
        tracker.spawn(async move {
            let mut intervals = 0;
            while stop
                .run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL))
                .await
                .is_some()
            {
                if intervals % RENEW_INTERVALS == 0 {
                    ledger.renew_lease(ledger.may_take_over()).await;
                }
                ledger.retry_pending_closes().await;
                ledger.probe_store().await;
                if intervals % ANSWER_INTERVALS == 0 {
                    ledger.flush_reused_answers().await;
                }
                if intervals % SWEEP_INTERVALS == 0
                    && let Err(error) = ledger.sweep().await
                {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "ledger sweep failed"
                    );
                }
                intervals += 1;
            }
            ledger.flush_reused_answers().await;
        });
    }

    /// Writes the answers from the response cache, and logs a failure.
    async fn flush_reused_answers(&self) {
        if let Err(error) = self.write_reused_answers().await {
            tracing::warn!(error = %ErrorChain(&error), "cached answers not counted on disk");
        }
    }

    /// True if the store has not failed for so long that servers without a lease must be gone: after
    /// an outage of the store all of them need a moment to renew theirs.
    fn may_take_over(&self) -> bool {
        let steady_since = *self.lock_steady_since();
        steady_since.elapsed() >= TAKEOVER_PAUSE
    }

    /// Renews the lease of this server. If `takes_over`, also charges the holds of servers whose lease
    /// is over.
    pub(super) async fn renew_lease(&self, takes_over: bool) {
        if !self.0.store.is_shared() {
            return;
        }
        let ledger = self.clone();
        let renewed = self.0.store.transaction(move |transaction| {
            let LedgerInner { clock, lease, .. } = &*ledger.0;
            let unknown = lease.renew(transaction, clock.now(), takes_over)?;
            let servers = transaction.scan(&storage_keys::nodes())?.len();
            Ok::<_, Error>((unknown, servers))
        });
        match self.record_store_health(renewed.await) {
            Ok((unknown, servers)) => {
                self.0.outage.set_servers(servers);
                if unknown > 0 {
                    tracing::warn!(unknown, "requests of lost servers charged as estimated");
                }
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "ledger lease not renewed");
            }
        }
    }

    /// Retries the closes that failed because of the store. After one that cannot reach it the others are
    /// left for the next time. Renews the lease meanwhile: thousands of closes may take longer than it lasts.
    pub(super) async fn retry_pending_closes(&self) {
        let mut pending = std::mem::take(&mut *self.lock_pending_closes());
        let count = pending.len();
        let mut failed = 0;
        let mut renewed_at: Option<Instant> = None;
        while !pending.is_empty() {
            let rest = pending.split_off(pending.len().min(MAX_CLOSES_AT_ONCE));
            // Queued together, so that they share commits.
            let closes: Vec<_> = pending
                .into_iter()
                .map(|close| self.queue_close(close))
                .collect();
            let closed = join_all(closes).await;
            failed += closed.iter().filter(|closed| closed.is_err()).count();
            pending = rest;
            if self.0.outage.is_unreachable() {
                break;
            }
            let renew_pause = RENEW_INTERVALS * RETRY_INTERVAL;
            let is_due = renewed_at.is_none_or(|renewed_at| renewed_at.elapsed() >= renew_pause);
            if is_due && !pending.is_empty() {
                self.renew_lease(false).await;
                renewed_at = Some(Instant::now());
            }
        }
        failed += pending.len();
        self.lock_pending_closes().append(&mut pending);
        if count > 0 {
            tracing::warn!(
                closed = count - failed,
                failed,
                "failed ledger writes retried"
            );
        }
    }

    fn lock_pending_closes(&self) -> MutexGuard<'_, Vec<PendingClose>> {
        let pending = self.0.pending_closes.lock();
        pending.unwrap_or_else(PoisonError::into_inner)
    }

    /// Probes with a write if the store works again after a failure.
    pub(super) async fn probe_store(&self) {
        if !self.is_failing() {
            return;
        }
        let written = self.0.store.transaction(|transaction| {
            let head: LedgerHead =
                load_record(transaction, &storage_keys::head())?.unwrap_or_default();
            transaction.put(storage_keys::head(), head.encode());
            Ok::<_, Error>(())
        });
        if self.record_store_health(written.await).is_ok() {
            tracing::info!("ledger writable again");
        }
    }

    /// Deletes charges, meters and usage of end users whose retention time is over.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let keep = self.0.config.keep_charges_days;
        let first = Day::of(self.0.clock.now()).minus(keep);
        while self
            .0
            .store
            .transaction(move |transaction| sweep_group(transaction, first))
            .await?
        {}
        Ok(())
    }
}

/// Deletes one group of records older than `first`; returns true if there may be more.
fn sweep_group(transaction: &mut Transaction<'_>, first: Day) -> Result<bool, Error> {
    let mut head: LedgerHead = load_record(transaction, &storage_keys::head())?.unwrap_or_default();
    if head.first_kept_day < first {
        // In the same transaction as the first deletion, so verification never expects deleted
        // charges.
        head.first_kept_day = first;
        transaction.put(storage_keys::head(), head.encode());
    }
    let mut left = MAX_RECORDS_PER_SWEEP;
    let orders = storage_keys::charge_days();
    remove_while(transaction, &orders, &mut left, |transaction, key| {
        let (day, id) = storage_keys::parse_charge_day(key)?;
        if day < first {
            transaction.remove(storage_keys::charge(&id));
        }
        Ok(day < first)
    })?;
    let usage = storage_keys::all_end_user_usage();
    remove_while(transaction, &usage, &mut left, |_, key| {
        let (_, day, ..) = storage_keys::parse_end_user_usage(key)?;
        Ok(day < first)
    })?;
    let month = Span::around(BudgetWindow::Month, first);
    let counts = storage_keys::end_user_counts();
    remove_while(transaction, &counts, &mut left, |_, key| {
        Ok(storage_keys::parse_end_user_count(key)? < month)
    })?;
    for window in [BudgetWindow::Day, BudgetWindow::Month] {
        let limit = Span::around(window, first);
        remove_while(
            transaction,
            &storage_keys::meters_of_window(limit),
            &mut left,
            |_, key| {
                let parts = storage_keys::parse_meter(key)?;
                // Budgets of past days and months are no longer checked.
                Ok(parts.0 < limit)
            },
        )?;
    }
    Ok(left == 0)
}

/// Deletes records under `prefix` from the first on while `is_old` returns true, at most `left`.
fn remove_while(
    transaction: &mut Transaction<'_>,
    prefix: &[u8],
    left: &mut usize,
    is_old: impl Fn(&mut Transaction<'_>, &[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    for (key, _) in transaction.range(prefix, None, *left)? {
        if !is_old(transaction, &key)? {
            return Ok(());
        }
        transaction.remove(key);
        *left -= 1;
    }
    Ok(())
}
