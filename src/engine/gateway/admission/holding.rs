//! Budget holds of turns: taken in the ledger before the turn waits or runs, and marked on disk
//! once the run begins.

use uuid::Uuid;

use crate::accounts::ledger;
use crate::accounts::ledger::Hold;
use crate::accounts::ledger::Ledger;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::engine::gateway::Error;

/// Budget hold that is still to be taken.
pub(super) struct Holding {
    pub(super) ledger: Ledger,
    pub(super) caller: Caller,
    pub(super) estimate: Amount,
    /// Index of the answer, if the request asks for several.
    pub(super) choice: usize,
}

/// Budget hold of a turn that waits for a worker.
pub(super) enum Waiting {
    /// Taken: a crash releases the hold. With the id it gets when the run begins; `None` for
    /// resumable work, which keeps its own.
    Held(Hold, Option<String>),
    /// Deferred until the run begins, since the caller has no budget.
    Untaken(Holding),
}

impl Holding {
    /// Takes the hold for a turn that still waits for a worker.
    pub(super) async fn wait(self) -> Result<Waiting, Error> {
        let (id, begun) = match self.errand() {
            // Idempotent: after a crash the work is run again under the same id, and charged once.
            Some(errand) => (errand, None),
            None => {
                let name = Uuid::new_v4().to_string();
                (ledger::waiting(&name), Some(name))
            }
        };
        let hold = self.ledger.hold(&self.caller, self.estimate, &id).await?;
        Ok(Waiting::Held(hold, begun))
    }

    /// Takes the hold for a turn whose run begins now.
    async fn take(self) -> Result<Hold, Error> {
        let id = self.errand().unwrap_or_else(|| Uuid::new_v4().to_string());
        Ok(self.ledger.hold(&self.caller, self.estimate, &id).await?)
    }

    fn errand(&self) -> Option<String> {
        let choice = self.choice;
        self.caller
            .errand
            .as_ref()
            .map(|errand| ledger::repeated(&format!("{errand}/{choice}")))
    }
}

impl Waiting {
    /// Records on disk that the run begins: from now on a crash charges the hold.
    pub(super) async fn begin(self) -> Result<Hold, Error> {
        match self {
            Self::Held(hold, Some(name)) => Ok(hold.hand_over(&name).await?),
            Self::Held(hold, None) => Ok(hold),
            Self::Untaken(holding) => holding.take().await,
        }
    }
}
