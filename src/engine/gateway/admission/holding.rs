//! Holds of turns: taken in the ledger before the turn waits or runs, and marked on disk once the run begins.

use uuid::Uuid;

use crate::accounts::ledger;
use crate::accounts::ledger::Hold;
use crate::accounts::ledger::Ledger;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::engine::gateway::Error;

/// A hold that is to be taken.
pub(super) struct Holding {
    pub(super) ledger: Ledger,
    pub(super) caller: Caller,
    pub(super) estimate: Amount,
    /// The number of the answer, of several to the same request.
    pub(super) choice: usize,
}

/// What is held for a turn that waits for a worker.
pub(super) enum Waiting {
    /// A hold that a crash releases, and the id it gets when the run begins; none for an errand, which keeps its own.
    Held(Hold, Option<String>),
    /// Nothing so far.
    Untaken(Holding),
}

impl Holding {
    /// Takes the hold for a turn that still waits for a worker.
    pub(super) async fn wait(self) -> Result<Waiting, Error> {
        let (id, begun) = match self.errand() {
            // It is run again after a crash, and then charged, whatever came of it.
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
    /// Notes on disk that its run begins: a crash has it charged from now on.
    pub(super) async fn begin(self) -> Result<Hold, Error> {
        match self {
            Self::Held(hold, Some(name)) => Ok(hold.hand_over(&name).await?),
            Self::Held(hold, None) => Ok(hold),
            Self::Untaken(holding) => holding.take().await,
        }
    }
}
