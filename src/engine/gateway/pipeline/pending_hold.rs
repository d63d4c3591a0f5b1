//! Budget holds of turns: taken in the ledger before the turn waits or runs, and marked on disk
//! once the run begins.

use uuid::Uuid;

use crate::accounts::ledger;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::ledger::Ledger;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::ClaimedWork;
use crate::domain::RequestClaim;
use crate::engine::gateway::Error;
use crate::telemetry::activity::TurnPhase;

/// Budget hold that is still to be taken.
pub(super) struct PendingHold {
    pub(super) ledger: Ledger,
    pub(super) caller: Caller,
    pub(super) estimate: Amount,
    /// Index of the answer, if the request asks for several.
    pub(super) choice: usize,
}

/// Budget hold of a turn that waits for a worker.
pub(super) enum WaitingHold {
    /// Taken: a crash releases the hold. With the id that it gets when the run begins, and the
    /// claim that the run is recorded in.
    Held(BudgetHold, String, RequestClaim),
    /// Taken for resumable work, which keeps its id.
    Resumable(BudgetHold),
    /// Deferred until the run begins, since the caller has no budget. Taken in the journal then if the
    /// store is away.
    Deferred(PendingHold),
}

impl PendingHold {
    /// Takes the hold for a turn that still waits for a worker.
    pub(super) async fn take_while_waiting(self) -> Result<WaitingHold, Error> {
        if let Some(id) = self.resumable_id() {
            // Idempotent: after a crash the work is run again under the same id, and charged once.
            let hold = self.ledger.hold(&self.caller, self.estimate, &id).await?;
            return Ok(WaitingHold::Resumable(hold));
        }
        // Ordered by time: random ids touch, and so keep in memory, every page of the store.
        let name = Uuid::now_v7().to_string();
        let id = ledger::waiting_id(&name);
        let hold = self.ledger.hold(&self.caller, self.estimate, &id).await?;
        Ok(WaitingHold::Held(hold, name, self.caller.claim))
    }

    /// Takes the hold for a turn whose run begins now.
    async fn take_now(self) -> Result<BudgetHold, Error> {
        let id = self
            .resumable_id()
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        // Queued before the hold, so that a held run is never without its claim on disk.
        let claimed = self.caller.claim.begin(ClaimedWork::Run);
        let held = self
            .ledger
            .hold_or_journal(&self.caller, self.estimate, &id);
        Ok(held.await?.claimed(claimed))
    }

    fn resumable_id(&self) -> Option<String> {
        let choice = self.choice;
        self.caller
            .idempotency_key
            .as_ref()
            .map(|key| ledger::resumable_id(&format!("{key}/{choice}")))
    }
}

impl WaitingHold {
    /// Returns the phase of a turn that begins when a worker has it.
    pub(super) fn phase_at_arrival(&self) -> TurnPhase {
        match self {
            Self::Held(..) | Self::Resumable(_) => TurnPhase::Lease,
            Self::Deferred(_) => TurnPhase::Hold,
        }
    }

    /// Records on disk that the run begins: from now on a crash charges the hold.
    pub(super) async fn begin(self) -> Result<BudgetHold, Error> {
        match self {
            Self::Held(hold, name, claim) => {
                // Queued before the rename, as before a hold that is taken now.
                let claimed = claim.begin(ClaimedWork::Run);
                Ok(hold.claimed(claimed).rename(&name).await?)
            }
            Self::Resumable(hold) => Ok(hold),
            Self::Deferred(holding) => holding.take_now().await,
        }
    }
}
