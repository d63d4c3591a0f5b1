//! Budget holds, and the charges they turn into.

use std::sync::Arc;

use crate::domain::Amount;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;

use super::Error;
use super::Ledger;

/// Amount reserved in the budgets of a caller for one request.
///
/// Ends in one of three ways: settled, released or dropped. If dropped before the run
/// [begins](Self::begin), the hold is released; later it is charged in full, because the real usage
/// is unknown.
#[derive(Debug)]
#[must_use = "a hold that is dropped after its run has begun is charged in full"]
pub struct Hold {
    ledger: Ledger,
    id: String,
    amount: Amount,
    grant: Arc<Grant>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The run has not started.
    Unused,
    /// The run has started; its usage is unknown until it is settled.
    Open,
    Closed,
}

/// Usage and cost of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Resolved id of the model that answered; empty if none did.
    pub model: String,
    /// Token usage of the run.
    pub usage: Usage,
    /// Cost of the run. If `None` or negative, the held amount is charged instead: a charge is
    /// never a credit.
    pub money: Option<Money>,
    /// End of the run.
    pub outcome: Outcome,
}

/// End of a run, as recorded with its charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run gave an answer.
    Answered,
    /// The run ended with an error.
    Failed,
    /// The run was cancelled, for example because its client disconnected.
    Cancelled,
    /// Unknown: the run was cut off, for example by a crash.
    Unknown,
}

/// Way in which a hold ends.
#[derive(Debug, Clone)]
pub(super) enum Closing {
    Settled(Charge),
    Released,
    Unknown,
}

impl Outcome {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Answered => 1,
            Self::Failed => 2,
            Self::Cancelled => 3,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Answered, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|outcome| outcome.code() == code)
    }
}

impl Hold {
    pub(super) fn new(ledger: Ledger, id: String, amount: Amount, grant: Arc<Grant>) -> Self {
        Self {
            ledger,
            id,
            amount,
            grant,
            state: State::Unused,
        }
    }

    /// Marks the run as started: if the hold is dropped from now on, it is charged in full.
    pub fn begin(mut self) -> Self {
        self.state = State::Open;
        self
    }

    /// Renames the hold as [`hand_over`](Self::hand_over) does, and marks the run as started.
    ///
    /// # Errors
    /// When the store fails; the hold is released then.
    pub fn begin_as(self, id: &str) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let handed_over = self.hand_over(id);
        async move { handed_over.await.map(Self::begin) }
    }

    /// Renames the hold of a waiting run (see [`waiting`](super::waiting) and
    /// [`repeated`](super::repeated)) to `id`, so that a crash from now on charges it. The rename
    /// is on disk when the future is ready. A hold that is dropped before [`begin`](Self::begin) is
    /// still released.
    ///
    /// # Errors
    /// When the store fails; the hold is released then.
    pub fn hand_over(
        mut self,
        id: &str,
    ) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let renamed = self.ledger.rename(&self.id, id);
        // Transactions run in order, so every later one finds the hold under its new id.
        id.clone_into(&mut self.id);
        async move { renamed.await.map(|()| self) }
    }

    /// Raises the hold to at least `amount` if all budgets of `grant` have room, in the day and
    /// month in which the hold was placed. The new amount is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Over`] when a budget has no room, which can be so even for the amount held already,
    /// or an error of the store. The held amount is unchanged then.
    pub async fn raise(&mut self, amount: Amount, grant: Arc<Grant>) -> Result<(), Error> {
        self.amount = self
            .ledger
            .raise(&self.id, amount, Arc::clone(&grant))
            .await?;
        self.grant = grant;
        Ok(())
    }

    /// Id of the hold; resumable runs may have got a suffix.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Amount held for the run.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Settles the hold: charges the real usage, even above the held amount or the rest of the
    /// budget. Returns the debited amount, which is on disk when the future is ready. The charge is
    /// made even if the future is dropped. Idempotent: an id that was closed before keeps its first
    /// charge, which is returned.
    ///
    /// # Errors
    /// When the store fails. The charge is retried until it succeeds or the server ends.
    pub fn settle(
        self,
        charge: Charge,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.end(Closing::Settled(charge))
    }

    /// Releases the hold without a charge, for a run that did not take place.
    ///
    /// # Errors
    /// As [`Hold::settle`].
    pub fn release(self) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.end(Closing::Released)
    }

    fn end(
        mut self,
        closing: Closing,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.state = State::Closed;
        self.ledger
            .close(&self.id, closing, Arc::clone(&self.grant))
    }

    /// Drops the hold as a crash would, without closing it.
    #[cfg(test)]
    pub(super) fn lose(mut self) {
        self.state = State::Closed;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let closing = match self.state {
            State::Unused => Closing::Released,
            State::Open => Closing::Unknown,
            State::Closed => return,
        };
        // The transaction is queued by the call itself; dropping the future does not cancel it.
        drop(
            self.ledger
                .close(&self.id, closing, Arc::clone(&self.grant)),
        );
    }
}
