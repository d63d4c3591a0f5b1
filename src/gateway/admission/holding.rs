//! When the hold of a turn is taken, and when it is known on disk that its run has begun.

use uuid::Uuid;

use crate::domain::Amount;
use crate::domain::Caller;
use crate::gateway::Error;
use crate::ledger;
use crate::ledger::Hold;
use crate::ledger::Ledger;

/// What is to be held, and for whom.
pub(super) struct Holding {
    pub(super) ledger: Ledger,
    pub(super) caller: Caller,
    pub(super) estimate: Amount,
}

/// What is held for a turn that waits for a worker.
pub(super) enum Waiting {
    /// A hold that a crash gives back, and what it is called from the beginning of its run on; none where it keeps its name.
    Held(Hold, Option<String>),
    /// Nothing so far, of the answer with this number.
    Untaken(Holding, usize),
}

impl Holding {
    /// Holds it for a turn that waits for a worker. `choice` is the number of the answer, of several to the same request.
    pub(super) async fn wait(self, choice: usize) -> Result<Waiting, Error> {
        let (id, begun) = match self.errand(choice) {
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

    /// Holds it for a turn whose run begins.
    async fn take(self, choice: usize) -> Result<Hold, Error> {
        let id = self.errand(choice).unwrap_or_else(|| Uuid::new_v4().to_string());
        Ok(self.ledger.hold(&self.caller, self.estimate, &id).await?)
    }

    fn errand(&self, choice: usize) -> Option<String> {
        self.caller.errand.as_ref().map(|errand| ledger::repeated(&format!("{errand}/{choice}")))
    }
}

impl Waiting {
    /// Notes on disk that its run begins: a crash has it charged from now on.
    pub(super) async fn begin(self) -> Result<Hold, Error> {
        match self {
            Self::Held(hold, Some(name)) => Ok(hold.hand_over(&name).await?),
            Self::Held(hold, None) => Ok(hold),
            Self::Untaken(holding, choice) => holding.take(choice).await,
        }
    }
}
