//! What can be read of a ledger, whether or not it is open.

use crate::domain::Amount;
use crate::domain::BudgetState;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::storage::store::Store;

use super::Clock;
use super::Day;
use super::Error;
use super::ListedCharge;
use super::Query;
use super::Report;
use super::Scope;
use super::Verified;
use super::Window;
use super::archive;
use super::budget::Account;
use super::charges;
use super::places;
use super::records::Meter;
use super::records::Record as _;
use super::usage;
use super::verify;

/// Reads the ledger in a store and changes nothing. Clones read the same.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Store,
    clock: Clock,
}

/// How a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub scope: Scope,
    /// For which time.
    pub window: Window,
    /// What is spent and held.
    pub used: Amount,
    /// The most that may be spent.
    pub cap: Cap,
    /// When the next day or month begins, in seconds of Unix time.
    pub resets_at: u64,
}

impl Reader {
    /// Reads what `store` keeps.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// One that finds nothing, and leaves nothing behind.
    #[cfg(test)]
    pub(crate) fn temporary() -> Self {
        Self::new(
            Store::in_memory(tokio_util::task::TaskTracker::new()),
            Clock::system(),
        )
    }

    /// What was used.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn usage(&self, query: &Query) -> Result<Report, Error> {
        usage::usage(&self.store, &self.clock, query).await
    }

    /// How each budget of `caller` stands that caps anything; as far as it is on disk, so for choosing, not for deciding.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn budgets(&self, caller: &Caller) -> Result<Vec<Standing>, Error> {
        let today = Day::of(self.clock.now());
        let accounts = Account::all(&caller.name, &caller.project, &caller.grant, today);
        let mut budgets = Vec::new();
        for account in accounts.into_iter().filter(Account::is_capped) {
            let place = places::meter(account.span, account.scope, account.name);
            let bytes = self.store.get(place).await?;
            let meter = bytes
                .map(|bytes| Meter::decode(&bytes))
                .transpose()?
                .unwrap_or_default();
            let (used, cap) = account.used(&meter);
            let (scope, window, resets_at) =
                (account.scope, account.window, account.span.ends_at());
            budgets.push(Standing {
                scope,
                window,
                used,
                cap,
                resets_at,
            });
        }
        Ok(budgets)
    }

    /// The same in short, for who chooses a model.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn budget_state(&self, caller: &Caller) -> Result<BudgetState, Error> {
        let budgets = self.budgets(caller).await?;
        Ok(BudgetState::of(
            budgets
                .into_iter()
                .map(|standing| (standing.used, standing.cap)),
        ))
    }

    /// Charges one by one, those that are kept.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn charges(&self) -> Result<Vec<ListedCharge>, Error> {
        charges::charges(&self.store).await
    }

    /// Everything, as a text for [`restore`](super::restore).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn backup(&self) -> Result<String, Error> {
        archive::backup(&self.store).await
    }

    /// Adds everything up again.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub async fn verify(&self) -> Result<Verified, Error> {
        verify::verify(&self.store).await
    }
}
