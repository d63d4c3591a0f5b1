//! Budget holds, and the charges they turn into.

use std::mem;
use std::sync::Arc;

use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::ClaimGuard;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;

use super::Error;
use super::Ledger;
use super::journaled_hold::JournaledHold;

/// Amount reserved in the budgets of a caller for one request.
///
/// Ends in one of three ways: settled, released or dropped. If dropped before the run
/// [starts](Self::start), the hold is released; later it is charged in full, because the real usage
/// is unknown.
#[derive(Debug)]
#[must_use = "a hold that is dropped after its run has begun is charged in full"]
pub struct BudgetHold {
    ledger: Ledger,
    id: String,
    amount: Amount,
    grant: Arc<Grant>,
    state: HoldState,
    /// Work of the request's idempotency key, which is charged when the hold is.
    claimed: ClaimGuard,
    /// The hold, if it is in the journal alone.
    journaled: Option<Arc<JournaledHold>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldState {
    /// The run has not started.
    Unused,
    /// The run has started; its usage is unknown until it is settled.
    Open,
    Closed,
}

/// Corrects the charge of a settled hold once its real cost is known.
#[derive(Debug, Clone)]
pub struct ChargeCorrection {
    ledger: Ledger,
    id: String,
    grant: Arc<Grant>,
}

/// Usage and cost of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Resolved id of the model that answered; empty if none did.
    pub model: String,
    /// Token usage of the run, as upstream reported it.
    pub usage: Usage,
    /// Estimated tokens of prompts about which upstream reported nothing.
    pub estimated_tokens: u64,
    /// Cost of the run. If `None` or negative, the held amount is charged instead: a charge is
    /// never a credit.
    pub money: Option<Money>,
    /// End of the run.
    pub outcome: ChargeOutcome,
    /// Cost of the run on the baseline; `None` if it cannot be computed.
    pub baseline: Option<BaselineCost>,
    /// Name of the sign-in that ran it, on a server with several.
    pub sign_in: Option<Arc<str>>,
    /// Fallback by which the model answered; `None` if it was the one that was asked.
    pub fallback: Option<Box<ChargedFallback>>,
}

/// Fallback of a run that was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargedFallback {
    /// Model that the request had asked.
    pub asked_model: String,
    /// Name of the cause for which that did not answer.
    pub cause: String,
}

/// End of a run, as recorded with its charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeOutcome {
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
pub(super) enum HoldClosing {
    Settled(Charge),
    Released,
    Unknown,
}

impl Charge {
    /// Returns all tokens, counted and estimated.
    pub(super) fn tokens(&self) -> u64 {
        self.usage
            .total_tokens()
            .saturating_add(self.estimated_tokens)
    }
}

impl HoldClosing {
    /// Returns the charge of a settled hold.
    pub(super) fn charge(&self) -> Option<&Charge> {
        match self {
            Self::Settled(charge) => Some(charge),
            Self::Released | Self::Unknown => None,
        }
    }
}

impl ChargeOutcome {
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

impl BudgetHold {
    pub(super) fn new(ledger: Ledger, id: String, amount: Amount, grant: Arc<Grant>) -> Self {
        Self {
            ledger,
            id,
            amount,
            grant,
            state: HoldState::Unused,
            claimed: ClaimGuard::default(),
            journaled: None,
        }
    }

    /// Sets the hold in the journal, which the store gets together with its end.
    pub(super) fn journaled(mut self, held: Arc<JournaledHold>) -> Self {
        self.journaled = Some(held);
        self
    }

    /// Makes the hold end `claimed`, the work of the request's idempotency key, as it ends itself.
    pub fn claimed(mut self, claimed: ClaimGuard) -> Self {
        self.claimed = claimed;
        self
    }

    /// Marks the run as started: if the hold is dropped from now on, it is charged in full.
    pub fn start(mut self) -> Self {
        self.state = HoldState::Open;
        self
    }

    /// Renames the hold as [`rename`](Self::rename) does, and marks the run as started.
    ///
    /// # Errors
    /// Fails when the store fails; the hold is released then.
    pub fn start_as(self, id: &str) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let handed_over = self.rename(id);
        async move { handed_over.await.map(Self::start) }
    }

    /// Renames the hold of a waiting run (see [`waiting_id`](super::waiting_id) and
    /// [`resumable_id`](super::resumable_id)) to `id`, so that a crash from now on charges it. The rename
    /// is on disk when the future is ready. A hold that is dropped before [`start`](Self::start) is
    /// still released.
    ///
    /// # Errors
    /// Fails when the store fails; the hold is released then.
    pub fn rename(mut self, id: &str) -> impl Future<Output = Result<Self, Error>> + Send + use<> {
        let renamed = self.ledger.rename(&self.id, id);
        // Transactions run in order, so every later one finds the hold under its new id.
        id.clone_into(&mut self.id);
        async move { renamed.await.map(|()| self) }
    }

    /// Raises the hold to at least `amount` if all budgets of `grant` have room, in the day and
    /// month in which the hold was placed. The new amount is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] when a budget has no room, which can be so even for the amount held already,
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
    /// charge, which is returned. One that another server charged as estimated gets this charge.
    ///
    /// # Errors
    /// Fails when the store fails. The charge is retried until it succeeds or the server ends; one
    /// whose records cannot be read is logged, and its hold stays.
    pub fn settle(
        self,
        charge: Charge,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.end(HoldClosing::Settled(charge))
    }

    /// Returns the means to correct the charge that the hold will be settled with.
    pub fn correction(&self) -> ChargeCorrection {
        ChargeCorrection {
            ledger: self.ledger.clone(),
            id: self.id.clone(),
            grant: Arc::clone(&self.grant),
        }
    }

    /// Releases the hold without a charge, for a run that did not take place.
    ///
    /// # Errors
    /// As [`BudgetHold::settle`].
    pub fn release(self) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.end(HoldClosing::Released)
    }

    fn end(
        mut self,
        closing: HoldClosing,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        self.state = HoldState::Closed;
        if !matches!(closing, HoldClosing::Released) {
            mem::take(&mut self.claimed).charge();
        }
        self.close(closing)
    }

    /// Closes the hold. Queued by the call itself.
    fn close(
        &self,
        closing: HoldClosing,
    ) -> impl Future<Output = Result<Amount, Error>> + Send + use<> {
        let grant = Arc::clone(&self.grant);
        let journaled = self.journaled.clone();
        self.ledger.close(&self.id, closing, grant, journaled)
    }

    /// Drops the hold as a crash would, without closing it.
    #[cfg(test)]
    pub(super) fn forget(mut self) {
        self.state = HoldState::Closed;
    }
}

impl ChargeCorrection {
    /// Replaces the cost of the charge by `money`, in the charge and in all sums. Idempotent. Does
    /// nothing if the hold was released.
    ///
    /// # Errors
    /// Fails when the store fails; the charge stays as it is then.
    pub async fn apply(self, money: Money) -> Result<(), Error> {
        self.ledger.correct(&self.id, money, self.grant).await
    }
}

impl Drop for BudgetHold {
    fn drop(&mut self) {
        let closing = match self.state {
            HoldState::Unused => HoldClosing::Released,
            HoldState::Open => {
                mem::take(&mut self.claimed).charge();
                HoldClosing::Unknown
            }
            HoldState::Closed => return,
        };
        // The transaction is queued by the call itself; dropping the future does not cancel it.
        drop(self.close(closing));
    }
}
