//! What is promised before a run, and what becomes of it.

use std::sync::Arc;

use crate::domain::Amount;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;

use super::Error;
use super::Ledger;

/// An amount that is set aside for a request.
///
/// It ends in one of three ways: settled, released, or dropped. Dropped before the run [begins](Self::begin) it is released;
/// later all of it is charged, since nobody has said what the run took.
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
    /// Nothing is run yet.
    Unused,
    /// In the hands of whoever runs the request.
    Open,
    Closed,
}

/// What a run took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The resolved id of the model that answered; empty when none did.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// Money; none when it is not known, and then what was held is charged. So it is with a negative amount, because
    /// a charge is never a credit.
    pub money: Option<Money>,
    /// How the run ended.
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With an error.
    Failed,
    /// Its client has gone away.
    Cancelled,
    /// Nobody knows.
    Unknown,
}

/// What becomes of a hold.
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

    /// From now on something is run under it, of which it is not known what it takes.
    pub fn begin(mut self) -> Self {
        self.state = State::Open;
        self
    }

    /// Renames the hold as [`hand_over`](Self::hand_over) does, and begins the run.
    ///
    /// # Errors
    /// When the store fails. It is released then.
    pub fn begin_as(self, id: &str) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let handed_over = self.hand_over(id);
        async move { handed_over.await.map(Self::begin) }
    }

    /// Renames the hold of a waiting run (see [`waiting`](super::waiting) and [`repeated`](super::repeated)) to `id`, so that a crash
    /// charges it. The rename is on disk when this returns. A hold that is dropped before [`begin`](Self::begin) is still released.
    ///
    /// # Errors
    /// When the store fails. It is released then.
    pub fn hand_over(
        mut self,
        id: &str,
    ) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let renamed = self.ledger.rename(&self.id, id);
        // Transactions keep their order, so whatever is asked of it from now on finds it by its new name.
        id.clone_into(&mut self.id);
        async move { renamed.await.map(|()| self) }
    }

    /// Holds at least `amount` from now on, if all budgets of `grant` have room for it in the day and the month in which it was taken.
    /// It is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Over`] when a budget has no room, not even for what is held already, or the store's. It is held as before then.
    pub async fn raise(&mut self, amount: Amount, grant: Arc<Grant>) -> Result<(), Error> {
        self.amount = self
            .ledger
            .raise(&self.id, amount, Arc::clone(&grant))
            .await?;
        self.grant = grant;
        Ok(())
    }

    /// The id it was taken with.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is held.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Charges what the run took, also where that is above what was held or what the budget had left. It is done though
    /// nobody waits; it is on disk when this returns, with what was debited. An id is debited once: for one that was
    /// closed before, this changes nothing and returns what was debited then.
    ///
    /// # Errors
    /// When the store fails. It is tried again then, until it is done or the server ends.
    pub fn settle(
        self,
        charge: Charge,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.end(Closing::Settled(charge))
    }

    /// Gives all of it back and charges nothing: the run has not taken place.
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

    /// Forgets it as the death of the process would.
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
        // The store does what it was asked for though nobody waits.
        drop(
            self.ledger
                .close(&self.id, closing, Arc::clone(&self.grant)),
        );
    }
}
