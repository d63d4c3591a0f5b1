//! Holds that are in the journal alone, because the store was away when their runs began.
//!
//! The store gets such a hold together with its end, in one transaction. A hold or charge with its id
//! that is there already stays as it is, so to repeat the transaction charges once.

use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::Grant;
use crate::domain::Money;
use crate::storage::store::Transaction;

use super::Error;
use super::budget::BudgetAccount;
use super::calendar::Day;
use super::codec::RecordReader;
use super::codec::RecordWriter;
use super::end_users;
use super::records::AmountSum;
use super::records::HoldRecord;
use super::records::LedgerRecord;
use super::storage_keys;
use super::transactions::reserve_in_accounts;

/// Hold of a caller without a budget, which the store does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournaledHold {
    /// The hold, with the end user as the request has named it, and no epoch.
    held: HoldRecord,
    /// Maximum number of end users of the key that are counted apart in a month.
    max_end_users: u32,
}

impl JournaledHold {
    /// Creates the hold of `estimate` for `caller`, placed at `now`.
    pub(super) fn new(caller: &Caller, estimate: Amount, now: u64) -> Self {
        let end_user = caller.end_user.as_ref().map(EndUser::as_str);
        Self {
            held: HoldRecord {
                epoch: 0,
                taken_at: now,
                project: caller.project.clone(),
                key: caller.name.clone(),
                amount: Amount {
                    money: estimate.money.max(Money::ZERO),
                    ..estimate
                },
                end_user: end_user.unwrap_or_default().to_owned(),
            },
            max_end_users: caller.grant.end_users.max_per_key,
        }
    }

    /// Amount held for the run.
    pub(super) fn amount(&self) -> Amount {
        self.held.amount
    }

    /// Places the hold in the store, as `id` of the server with this `epoch`. Does nothing if it was placed
    /// or charged before. No budget is checked: the run has begun.
    pub(super) fn place(
        &self,
        transaction: &mut Transaction<'_>,
        id: &str,
        epoch: u64,
    ) -> Result<(), Error> {
        let place = storage_keys::hold(id);
        if transaction.get(&place)?.is_some()
            || transaction.get(&storage_keys::charge(id))?.is_some()
        {
            return Ok(());
        }
        let HoldRecord { project, key, .. } = &self.held;
        let day = Day::of(self.held.taken_at);
        let end_user = end_users::count_by_name(
            transaction,
            key,
            &self.held.end_user,
            day,
            self.max_end_users,
        )?;
        let account = end_users::account(key, &end_user);
        let accounts = BudgetAccount::all(key, project, account.as_deref(), &Grant::default(), day);
        let wanted = AmountSum::of(self.held.amount);
        reserve_in_accounts(transaction, accounts, AmountSum::default(), wanted)?;
        let held = HoldRecord {
            epoch,
            end_user,
            ..self.held.clone()
        };
        transaction.put(place, held.encode());
        Ok(())
    }
}

impl LedgerRecord for JournaledHold {
    const KIND: &'static str = "hold of the journal";

    fn write(&self, writer: &mut RecordWriter) {
        self.held.write(writer);
        writer.number(self.max_end_users);
    }

    fn read(reader: &mut RecordReader<'_>) -> Option<Self> {
        Some(Self {
            held: HoldRecord::read(reader)?,
            max_end_users: reader.number()?,
        })
    }
}
