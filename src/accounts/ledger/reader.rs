//! Read-only access to a ledger, open or not.

use std::sync::Arc;

use crate::domain::Amount;
use crate::domain::BudgetState;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::storage::store::Store;

use super::BudgetOwner;
use super::BudgetScope;
use super::BudgetWindow;
use super::Clock;
use super::Day;
use super::Error;
use super::ListedCharge;
use super::SpendingHistory;
use super::UsageQuery;
use super::UsageReport;
use super::VerifyReport;
use super::archive;
use super::budget::BudgetAccount;
use super::charges;
use super::end_users;
use super::records::AmountSum;
use super::records::BudgetMeter;
use super::records::LedgerRecord as _;
use super::reused_answers::ReusedAnswers;
use super::spending;
use super::storage_keys;
use super::usage;
use super::verify;

/// Read-only access to the ledger in a store. Clones share the store.
#[derive(Debug, Clone)]
pub struct LedgerReader {
    store: Store,
    clock: Clock,
    /// Answers from the response cache that an open ledger has not written yet.
    unwritten: Arc<ReusedAnswers>,
}

/// Current status of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Owner of the budget: key, project or end user.
    pub scope: BudgetScope,
    /// Time window of the budget.
    pub window: BudgetWindow,
    /// Sum of what is spent and held.
    pub used: Amount,
    /// Cap of the budget.
    pub cap: Cap,
    /// Start of the present day or month, in seconds of Unix time.
    pub starts_at: u64,
    /// Time of the reset, in seconds of Unix time: start of the next day or month.
    pub resets_at: u64,
}

impl BudgetStatus {
    fn from_meter(account: &BudgetAccount<'_>, meter: &BudgetMeter) -> Self {
        let (used, cap) = account.used(meter);
        Self {
            scope: account.scope,
            window: account.window,
            used,
            cap,
            starts_at: account.span.first_day().begins_at(),
            resets_at: account.span.ends_at(),
        }
    }
}

impl LedgerReader {
    /// Creates a reader of the ledger in `store`.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            unwritten: Arc::default(),
        }
    }

    /// Adds what an open ledger has not written yet.
    pub(super) fn with_unwritten(self, unwritten: Arc<ReusedAnswers>) -> Self {
        Self { unwritten, ..self }
    }

    /// Creates a reader of an empty in-memory store.
    #[cfg(test)]
    pub(crate) fn temporary() -> Self {
        Self::new(
            Store::in_memory(tokio_util::task::TaskTracker::new()),
            Clock::system(),
        )
    }

    /// Computes a usage report.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn usage(&self, query: &UsageQuery) -> Result<UsageReport, Error> {
        usage::usage_report(&self.store, &self.clock, &self.unwritten, query).await
    }

    /// Returns the status of each capped budget of `caller`. Reads only what is on disk, without a
    /// transaction: good enough to choose a model, not to admit a request.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn budgets(&self, caller: &Caller) -> Result<Vec<BudgetStatus>, Error> {
        let end_user = self.end_user_account(caller).await?;
        let meters = self.capped_meters(caller, end_user.as_deref()).await?;
        let statuses = meters
            .iter()
            .map(|(account, meter)| BudgetStatus::from_meter(account, meter));
        Ok(statuses.collect())
    }

    /// Returns the status of each capped budget of `owners`, with the id of its owner. Reads the
    /// store once, and sees what [`budgets`](Self::budgets) sees.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn budgets_of(
        &self,
        owners: &[BudgetOwner],
    ) -> Result<Vec<(String, BudgetStatus)>, Error> {
        let today = Day::of(self.clock.now());
        let accounts = owners.iter().flat_map(|owner| {
            let BudgetOwner { scope, id, budget } = owner;
            BudgetAccount::of_owner(*scope, id, *budget, today)
        });
        let meters = self.read_meters(accounts.collect()).await?;
        let statuses = meters.iter().map(|(account, meter)| {
            let id = account.name.to_owned();
            (id, BudgetStatus::from_meter(account, meter))
        });
        Ok(statuses.collect())
    }

    /// Checks that no budget of `caller` is used up. Reads only what is on disk: good enough to
    /// refuse a request early, not to admit it.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] if one is used up, or an error of the store.
    pub async fn check_budgets(&self, caller: &Caller) -> Result<(), Error> {
        let end_user = self.end_user_account(caller).await?;
        let meters = self.capped_meters(caller, end_user.as_deref()).await?;
        let over = meters
            .iter()
            .find_map(|(account, meter)| account.check(meter, AmountSum::default()));
        over.map_or(Ok(()), |over| Err(Error::BudgetExceeded(over)))
    }

    /// Returns the account that counts the end user of `caller`, if that has a budget.
    async fn end_user_account(&self, caller: &Caller) -> Result<Option<String>, Error> {
        if !caller.grant.end_users.is_capped() {
            return Ok(None);
        }
        let today = Day::of(self.clock.now());
        end_users::account_of(&self.store, caller, today).await
    }

    /// Returns the capped budgets of `caller` and of the account `end_user` with what is spent and
    /// held of them.
    async fn capped_meters<'a>(
        &self,
        caller: &'a Caller,
        end_user: Option<&'a str>,
    ) -> Result<Vec<(BudgetAccount<'a>, BudgetMeter)>, Error> {
        let today = Day::of(self.clock.now());
        let Caller {
            name,
            project,
            grant,
            ..
        } = caller;
        let accounts = BudgetAccount::all(name, project, end_user, grant, today);
        self.read_meters(accounts).await
    }

    /// Returns the `accounts` that have a cap, each with its meter.
    async fn read_meters<'a>(
        &self,
        mut accounts: Vec<BudgetAccount<'a>>,
    ) -> Result<Vec<(BudgetAccount<'a>, BudgetMeter)>, Error> {
        accounts.retain(BudgetAccount::is_capped);
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let place = |account: &BudgetAccount<'_>| {
            storage_keys::meter(account.span, account.scope, account.name)
        };
        let places: Vec<Vec<u8>> = accounts.iter().map(place).collect();
        let records = self.store.get_all(places.clone()).await?;
        let mut meters = Vec::new();
        for ((account, place), bytes) in accounts.into_iter().zip(places).zip(records) {
            let meter = bytes
                .map(|bytes| BudgetMeter::decode(&place, &bytes))
                .transpose()?;
            meters.push((account, meter.unwrap_or_default()));
        }
        Ok(meters)
    }

    /// Summarises the budgets of `caller` for model routing.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn budget_state(&self, caller: &Caller) -> Result<BudgetState, Error> {
        let budgets = self.budgets(caller).await?;
        Ok(BudgetState::from_budgets(
            budgets
                .into_iter()
                .map(|standing| (standing.used, standing.cap)),
        ))
    }

    /// Returns the present time of the ledger, in seconds of Unix time.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Reads what each key has spent today, by hour. Reads each charge of the day.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn spending_today(&self) -> Result<SpendingHistory, Error> {
        spending::spending_today(&self.store, &self.clock).await
    }

    /// Reads what each key has spent this month, by day.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn spending_this_month(&self) -> Result<SpendingHistory, Error> {
        spending::spending_this_month(&self.store, &self.clock).await
    }

    /// Lists the single charges that are still kept.
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn charges(&self) -> Result<Vec<ListedCharge>, Error> {
        charges::list_charges(&self.store).await
    }

    /// Exports the whole ledger as text for [`restore`](super::restore).
    ///
    /// # Errors
    /// Fails when the records cannot be read.
    pub async fn backup(&self) -> Result<String, Error> {
        archive::backup(&self.store).await
    }

    /// Verifies the sums of the ledger.
    ///
    /// # Errors
    /// Fails when a record cannot be read.
    pub async fn verify(&self) -> Result<VerifyReport, Error> {
        verify::verify(&self.store).await
    }
}
