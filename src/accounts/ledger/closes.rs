//! Closes of holds. They are queued at once, and repeated until the store takes them.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use crate::domain::Amount;
use crate::domain::Grant;
use crate::domain::Money;
use crate::storage::store::Transaction;

use super::Error;
use super::Ledger;
use super::LedgerInner;
use super::charge_metrics;
use super::hold::HoldClosing;
use super::journaled_hold::JournaledHold;
use super::pending_close::PendingClose;
use super::pending_close::UntoldCharge;
use super::transactions;
use super::transactions::ClosedHold;

impl Ledger {
    /// Closes the hold `id`, after the store has got it if it is the one `journaled`. The transaction is
    /// queued by the call itself, and retried later if the store fails.
    pub(super) fn close(
        &self,
        id: &str,
        closing: HoldClosing,
        grant: Arc<Grant>,
        journaled: Option<Arc<JournaledHold>>,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        // A store that hangs would keep the charge in memory alone for the time of its timeout. A hold of
        // the journal is charged as estimated if its end is not there.
        if self.0.is_failing.load(Relaxed) || journaled.is_some() {
            self.0.journal.note(id, &closing);
        }
        self.queue_close(PendingClose {
            id: id.to_owned(),
            closing,
            grant,
            is_repeated: false,
            untold: UntoldCharge::default(),
            journaled,
        })
    }

    /// Queues the transaction of a close, as [`close`](Self::close) does.
    pub(super) fn queue_close(
        &self,
        pending_close: PendingClose,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        let this = self.clone();
        let ledger = self.clone();
        let begun = Instant::now();
        let closed = self.0.store.transaction(move |transaction| {
            // Its id is that of a later hold by now.
            let is_void = pending_close.is_repeated_release()
                && ledger.0.failed_releases.is_replaced(&pending_close.id);
            let closed = if is_void {
                Ok(ClosedHold::default())
            } else {
                ledger.close_in(transaction, &pending_close)
            };
            let (debit, untold) = match closed {
                Ok(closed) => {
                    let ClosedHold {
                        debit,
                        charged,
                        alerts,
                    } = closed;
                    let is_new = charged.is_some() || !alerts.is_empty();
                    let untold = is_new.then_some(UntoldCharge { charged, alerts });
                    (Ok(debit), untold)
                }
                Err(error @ Error::Unreadable(_)) => {
                    // A record does not become readable by itself. The hold stays for an operator, who
                    // finds here what was to be charged.
                    pending_close.log_failure(&error);
                    return Err(error);
                }
                Err(error) => (Err(error), None),
            };
            let ledger = ledger.clone();
            let mut pending_close = pending_close.clone();
            // What was told as failed may be made, and then leaves nothing to tell this time.
            pending_close.untold = untold.unwrap_or(pending_close.untold);
            // Registered before an error returns: no charge is lost while the server runs.
            transaction.after_write(move |is_made| {
                if is_made || is_void {
                    ledger.note_closed(pending_close, is_void, begun);
                } else {
                    ledger.retry_later(pending_close);
                }
            });
            debit
        });
        async move {
            let closed = this.record_store_health(closed.await);
            if closed.is_err() {
                // The answer leaves after this, and the charge must be on a disk by then.
                this.0.journal.flush().await;
            }
            closed
        }
    }

    /// Closes a hold. To release it does nothing to one that another server has placed since: its run would be
    /// charged to nobody.
    fn close_in(
        &self,
        transaction: &mut Transaction<'_>,
        close: &PendingClose,
    ) -> Result<ClosedHold, Error> {
        let LedgerInner { clock, lease, .. } = &*self.0;
        let PendingClose {
            id, closing, grant, ..
        } = close.clone();
        if let Some(journaled) = &close.journaled {
            journaled.place(transaction, &id, lease.epoch())?;
        }
        if matches!(closing, HoldClosing::Released)
            && transactions::is_held_by_another(transaction, &id, lease.epoch())?
        {
            return Ok(ClosedHold::default());
        }
        transactions::close_hold(transaction, clock.now(), &id, closing, &grant)
    }

    /// Replaces the cost of the charge `id`.
    pub(super) fn correct(
        &self,
        id: &str,
        money: Money,
        grant: Arc<Grant>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let this = self.clone();
        let id = id.to_owned();
        let corrected = self.0.store.transaction(move |transaction| {
            transactions::correct_charge(transaction, &id, money, &grant)
        });
        async move { this.record_store_health(corrected.await) }
    }

    /// Notes that a close of the moment `begun` is made, or void. The journal may then have that of the later
    /// hold.
    fn note_closed(&self, close: PendingClose, is_void: bool, begun: Instant) {
        if close.is_repeated_release() {
            self.0.failed_releases.remove(&close.id);
        }
        if !is_void {
            self.0.journal.forget(&close.id);
        }
        let UntoldCharge { charged, alerts } = close.untold;
        if let Some(charged) = charged {
            charge_metrics::count_charge(&self.0.metrics, &charged, begun.elapsed());
        }
        for alert in alerts {
            // A closed channel is fine: alerts are optional for the opener.
            drop(self.0.alerts.send(alert));
        }
    }

    /// Removes the entry of the journal for a failed release whose id is that of a later hold now.
    pub(super) fn forget_replaced_release(&self, id: &str) {
        if self.0.failed_releases.is_replaced(id) {
            self.0.journal.forget(id);
        }
    }

    /// Queues a close for the task that retries failed ones, and writes it to the journal.
    pub(super) fn retry_later(&self, close: PendingClose) {
        if matches!(close.closing, HoldClosing::Released) && !close.is_repeated {
            self.0.failed_releases.add(&close.id);
        }
        self.0.journal.note(&close.id, &close.closing);
        let pending = self.0.pending_closes.lock();
        pending
            .unwrap_or_else(PoisonError::into_inner)
            .push(PendingClose {
                is_repeated: true,
                ..close
            });
    }
}
