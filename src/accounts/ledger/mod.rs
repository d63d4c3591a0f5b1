//! What is spent, and what may be.
//!
//! Before a run its estimate is held ([`Ledger::hold`]), afterwards the [`Hold`] becomes a charge. Both are transactions of the
//! store: they follow one another, are all or nothing, and are on disk when they are done. So budgets are exact, however
//! many ask at once, and a server that is killed knows what it had promised: holds of an earlier start are charged in
//! full when the ledger is opened again.
//!
//! What was told survives a kill at any moment, and the loss of power as far as the disk keeps what it has confirmed: the
//! store writes a group of transactions at once and has the disk confirm it before anybody is told. So a wait for the disk
//! is shared by all who come meanwhile; `cargo bench --bench serving -- ledger` measures it. What is used and not told is
//! lost with the process, and its hold is charged in its place.
//!
//! A [`Reader`] tells what was used from the store alone. Only a server opens the ledger; a command must not, for that
//! charges open holds.
//!
//! Day and month are those of UTC. A hold counts in the day and the month in which it was taken, and its charge is booked
//! there too, though it may come later.
//!
//! Knows callers, tokens and money. Knows neither prices nor models, nor how a turn is run; [`Alert`]s are handed to whoever
//! opened the ledger.

mod alerts;
mod archive;
mod book;
mod budget;
mod calendar;
mod charges;
mod clock;
mod codec;
mod error;
mod hold;
mod migration;
mod places;
mod reader;
mod records;
mod render;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod usage;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;

use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Grant;
use crate::storage::store::Store;

use hold::Closing;

pub use alerts::Alert;
pub use archive::Restored;
pub use archive::records_in;
pub use archive::restore;
pub use book::repeated;
pub use book::waiting;
pub use budget::Over;
pub use budget::Scope;
pub use budget::What;
pub use budget::Window;
pub use calendar::Day;
pub use charges::ListedCharge;
pub use clock::Clock;
pub use error::Error;
pub use hold::Charge;
pub use hold::Hold;
pub use hold::Outcome;
pub use reader::Reader;
pub use reader::Standing;
pub use render::to_csv;
pub use render::to_json;
pub use render::to_table;
pub use usage::Figures;
pub use usage::GroupBy;
pub use usage::Period;
pub use usage::Query;
pub use usage::Report;
pub use verify::Verified;

/// What the ledger is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Days for which single charges are kept; what they add up to is kept for ever.
    pub keep_charges_days: u32,
}

/// The books. Clones share them.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

/// A ledger that has just been opened.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// Holds of an earlier start that were charged in full, because nobody knows what became of them.
    pub unknown: usize,
    /// What is to be told as budgets are used up.
    pub alerts: UnboundedReceiver<Alert>,
}

struct Inner {
    store: Store,
    clock: Clock,
    config: Config,
    /// Counts the starts: a hold of an older one is nobody's.
    epoch: u64,
    alerts: UnboundedSender<Alert>,
    /// Holds that the store failed to close. They are tried again, see `sweep`.
    owed: Mutex<Vec<Owed>>,
    /// Whether the store failed when it was asked last.
    is_failing: AtomicBool,
}

/// How a hold is to be closed.
#[derive(Debug, Clone)]
struct Owed {
    id: String,
    closing: Closing,
    grant: Arc<Grant>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ledger")
            .field("epoch", &self.0.epoch)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger of `store`, once for each start of a server: the holds of earlier starts are charged in full.
    ///
    /// # Errors
    /// When its records are newer than this program or cannot be read, or the store fails.
    pub async fn open(store: Store, clock: Clock, config: Config) -> Result<Opened, Error> {
        let now = clock.clone();
        let (epoch, unknown) = store
            .transaction(move |transaction| book::open(transaction, now.now()))
            .await?;
        let (sender, alerts) = mpsc::unbounded_channel();
        let inner = Inner {
            store,
            clock,
            config,
            epoch,
            alerts: sender,
            owed: Mutex::default(),
            is_failing: AtomicBool::new(false),
        };
        Ok(Opened {
            ledger: Self(Arc::new(inner)),
            unknown,
            alerts,
        })
    }

    /// Holds `estimate` for `caller`, if every one of its budgets has room for it beside what is spent and held already.
    /// `id` names the request, or one attempt at it: it is charged once at most. It is on disk when this returns. When nobody
    /// waits for it any more, it is released.
    ///
    /// # Errors
    /// [`Error::Over`] when a budget has no room, [`Error::Duplicate`] when the id is taken, or the store's.
    pub fn hold(
        &self,
        caller: &Caller,
        estimate: Amount,
        id: &str,
    ) -> impl Future<Output = Result<Hold, Error>> + Send + use<> {
        let (this, ledger, caller, id) =
            (self.clone(), self.clone(), caller.clone(), id.to_owned());
        let held = self.0.store.transaction(move |transaction| {
            let now = ledger.0.clock.now();
            let (id, amount) =
                book::take(transaction, now, ledger.0.epoch, &caller, estimate, &id)?;
            Ok::<_, Error>(Hold::new(ledger, id, amount, caller.grant))
        });
        async move { this.noted(held.await) }
    }

    fn raise(
        &self,
        id: &str,
        amount: Amount,
        grant: Arc<Grant>,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        let (this, id) = (self.clone(), id.to_owned());
        let raised = self
            .0
            .store
            .transaction(move |transaction| book::raise(transaction, &id, amount, &grant));
        async move { this.noted(raised.await) }
    }

    fn rename(
        &self,
        id: &str,
        begun: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (this, ledger, id, begun) =
            (self.clone(), self.clone(), id.to_owned(), begun.to_owned());
        let renamed = self.0.store.transaction(move |transaction| {
            let owed = Owed {
                id: id.clone(),
                closing: Closing::Released,
                grant: Arc::default(),
            };
            // Whoever holds it knows it by its new name alone, so it is given back under the old one.
            transaction.afterwards(move |is_made| {
                if !is_made {
                    ledger
                        .0
                        .owed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(owed);
                }
            });
            book::rename(transaction, &id, &begun)
        });
        async move { this.noted(renamed.await) }
    }

    /// Whether nothing can be held or charged: the store failed when it was asked last, or its disk is full now. A store that
    /// failed is tried again each second.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed) || self.0.store.check_writable().is_err()
    }

    fn noted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.0.is_failing.store(false, Relaxed),
            Err(Error::Store(_)) => self.0.is_failing.store(true, Relaxed),
            Err(_) => {}
        }
        result
    }

    /// Reads it.
    pub fn reader(&self) -> Reader {
        Reader::new(self.0.store.clone(), self.0.clock.clone())
    }

    /// Closes the hold called `id`, now or later: it is asked for at once, and tried again when the store fails.
    fn close(
        &self,
        id: &str,
        closing: Closing,
        grant: Arc<Grant>,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        let (this, ledger) = (self.clone(), self.clone());
        let owed = Owed {
            id: id.to_owned(),
            closing,
            grant,
        };
        let closed = self.0.store.transaction(move |transaction| {
            let (now, alerts) = (ledger.0.clock.now(), ledger.0.alerts.clone());
            let Owed { id, closing, grant } = owed.clone();
            transaction.afterwards(move |is_made| {
                if !is_made {
                    ledger
                        .0
                        .owed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(owed);
                }
            });
            let (debit, new) = book::close(transaction, now, &id, closing, &grant)?;
            transaction.afterwards(move |is_made| {
                // Whoever opened the ledger may not want to hear of it.
                new.into_iter()
                    .filter(|_| is_made)
                    .for_each(|alert| drop(alerts.send(alert)));
            });
            Ok(debit)
        });
        async move { this.noted(closed.await) }
    }
}
