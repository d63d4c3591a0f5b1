//! What leaves the ledger after a time: single charges, and the meters of days and months that are long over. And what the
//! store failed to do, until it can.

use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::storage::store::Transaction;

use super::Error;
use super::Ledger;
use super::Owed;
use super::budget::Window;
use super::calendar::Day;
use super::calendar::Span;
use super::places;
use super::records::Head;
use super::records::Record as _;
use super::records::load;

/// How often is tried again what failed. A failed store is opened again by the next transaction.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How many of these pass from one sweep to the next: they look for whole days.
const SWEEP_INTERVALS: u32 = 600;
/// Records that are taken away in one transaction, so that others get their turn in between.
const SWEEP_GROUP: usize = 256;

impl Ledger {
    /// Keeps the ledger tidy until `stop`: tries again to close the holds that the store failed to close, and takes away
    /// single charges when their time is over.
    pub fn keep_tidy(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let ledger = self.clone();
        tracker.spawn(async move {
            let mut intervals = 0;
            while stop
                .run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL))
                .await
                .is_some()
            {
                ledger.try_again().await;
                ledger.probe().await;
                if intervals % SWEEP_INTERVALS == 0
                    && let Err(error) = ledger.sweep().await
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the ledger was not swept"
                    );
                }
                intervals += 1;
            }
        });
    }

    /// Closes the holds that the store failed to close.
    pub(super) async fn try_again(&self) {
        let owed = std::mem::take(&mut *self.0.owed.lock().unwrap_or_else(PoisonError::into_inner));
        let count = owed.len();
        let mut failed = 0;
        for Owed { id, closing, grant } in owed {
            failed += usize::from(self.close(&id, closing, grant).await.is_err());
        }
        if count > 0 {
            tracing::warn!(
                closed = count - failed,
                failed,
                "charges that could not be written were tried again"
            );
        }
    }

    /// Looks whether the store can be written again that could not.
    pub(super) async fn probe(&self) {
        if !self.is_failing() {
            return;
        }
        let written = self.0.store.transaction(|transaction| {
            let head: Head = load(transaction, &places::head())?.unwrap_or_default();
            transaction.put(places::head(), head.encode());
            Ok::<_, Error>(())
        });
        if self.noted(written.await).is_ok() {
            tracing::info!("the ledger can be written again");
        }
    }

    /// Takes away what has had its time.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let keep = self.0.config.keep_charges_days;
        let first = Day::of(self.0.clock.now()).minus(keep);
        while self
            .0
            .store
            .transaction(move |transaction| sweep(transaction, first))
            .await?
        {}
        Ok(())
    }
}

/// Takes away some of what is older than `first`, and says whether there may be more.
fn sweep(transaction: &mut Transaction<'_>, first: Day) -> Result<bool, Error> {
    let mut head: Head = load(transaction, &places::head())?.unwrap_or_default();
    if head.swept < first {
        head.swept = first;
        transaction.put(places::head(), head.encode());
    }
    let mut left = SWEEP_GROUP;
    let orders = places::orders();
    drop_while(transaction, &orders, &mut left, |transaction, key| {
        let (day, id) = places::day_and_id_of(key).ok_or(Error::Unreadable {
            what: "the day of a charge",
        })?;
        if day < first {
            transaction.remove(places::charge(&id));
        }
        Ok(day < first)
    })?;
    for window in [Window::Day, Window::Month] {
        let limit = Span::around(window, first);
        drop_while(
            transaction,
            &places::meters_like(limit),
            &mut left,
            |_, key| {
                let parts = places::meter_of(key).ok_or(Error::Unreadable {
                    what: "the time of a budget",
                })?;
                // Budgets of a day or a month that is over decide nothing any more.
                Ok(parts.0 < limit)
            },
        )?;
    }
    Ok(left == 0)
}

/// Takes away the first records after `prefix` for as long as `is_old` says so, at most as many as may be.
fn drop_while(
    transaction: &mut Transaction<'_>,
    prefix: &[u8],
    left: &mut usize,
    is_old: impl Fn(&mut Transaction<'_>, &[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut next = transaction.first(prefix)?;
    while let Some((key, _)) = next.filter(|_| *left > 0) {
        if !is_old(transaction, &key)? {
            return Ok(());
        }
        next = transaction.after(prefix, &key)?;
        transaction.remove(key);
        *left -= 1;
    }
    Ok(())
}
