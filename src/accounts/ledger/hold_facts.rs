//! Facts about holds that this server has committed, to be made again if the store loses them.
//!
//! A fact is the state of a hold, not the change that led to it: to apply it again changes nothing where
//! it is present, and in the order of their commits facts lead to the state before the loss. No budget
//! is checked: what was held runs, and what was charged is spent.

use crate::domain::Amount;
use crate::domain::Grant;
use crate::storage::store::Transaction;

use super::ChargeOutcome;
use super::Error;
use super::budget::BudgetAccount;
use super::calendar::Day;
use super::end_users;
use super::records::AmountSum;
use super::records::BudgetMeter;
use super::records::ChargeRecord;
use super::records::HoldRecord;
use super::records::LedgerHead;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::storage_keys;
use super::transactions::replace_charge;
use super::transactions::write_charge;

/// State of a hold.
#[derive(Debug, Clone)]
pub(super) enum HoldFact {
    /// Held, as recorded.
    Open(HoldRecord),
    /// Charged, as recorded.
    Charged(ChargeRecord),
    /// Released, or renamed to another id, by the server with this epoch.
    Gone {
        /// Epoch of the hold.
        epoch: u64,
    },
}

/// Remembers that the hold `id` is as `fact` says, once `transaction` is committed. Does nothing in a
/// store that is not shared.
pub(super) fn remember_hold(
    transaction: &mut Transaction<'_>,
    id: &str,
    fact: impl FnOnce() -> HoldFact,
) {
    if !transaction.is_shared() {
        return;
    }
    let (name, id, fact) = (storage_keys::hold(id), id.to_owned(), fact());
    transaction.remember(name, move |transaction| {
        restore_hold(transaction, &id, &fact).map_err(Error::into_store_error)
    });
}

/// Remembers that the ledger was opened `epoch` times: another server must not get the same epoch.
pub(super) fn remember_epoch(transaction: &mut Transaction<'_>, epoch: u64) {
    transaction.remember(storage_keys::head(), move |transaction| {
        restore_epoch(transaction, epoch).map_err(Error::into_store_error)
    });
}

fn restore_epoch(transaction: &mut Transaction<'_>, epoch: u64) -> Result<bool, Error> {
    let place = storage_keys::head();
    let head: LedgerHead = load_record(transaction, &place)?.unwrap_or_default();
    if head.epoch >= epoch {
        return Ok(false);
    }
    transaction.put(place, LedgerHead { epoch, ..head }.encode());
    Ok(true)
}

/// Brings the hold `id` to the state of `fact`. Returns false if it is in it.
fn restore_hold(
    transaction: &mut Transaction<'_>,
    id: &str,
    fact: &HoldFact,
) -> Result<bool, Error> {
    let place = storage_keys::hold(id);
    let held: Option<HoldRecord> = load_record(transaction, &place)?;
    let charged: Option<ChargeRecord> = load_record(transaction, &storage_keys::charge(id))?;
    match (fact, held, charged) {
        (HoldFact::Open(_), _, Some(_)) => Ok(false),
        (HoldFact::Open(record), held, None) => {
            // One of another epoch was placed by the server that runs the work now.
            if let Some(held) = &held
                && (held == record || held.epoch != record.epoch)
            {
                return Ok(false);
            }
            if let Some(held) = held {
                end_hold(transaction, id, &held)?;
            }
            change_meters(transaction, record, |meter| {
                meter.held = meter.held.plus(AmountSum::of(record.amount));
            })?;
            transaction.put(place, record.encode());
            Ok(true)
        }
        (HoldFact::Charged(record), _, Some(charged)) => {
            // An estimate for a lost server gives way to what that one knows.
            if charged == *record || record.outcome == ChargeOutcome::Unknown {
                return Ok(false);
            }
            replace_charge(transaction, id, &charged, Some(record), &Grant::default())?;
            Ok(true)
        }
        (HoldFact::Charged(record), held, None) => {
            if let Some(held) = held {
                end_hold(transaction, id, &held)?;
            }
            // Names the budgets alone.
            let owners = HoldRecord {
                epoch: 0,
                taken_at: record.taken_at,
                project: record.project.clone(),
                key: record.key.clone(),
                amount: Amount::default(),
                end_user: record.end_user.clone(),
            };
            change_meters(transaction, &owners, |meter| {
                meter.spent = meter.spent.plus(AmountSum::of(record.amount()));
            })?;
            write_charge(transaction, id, record)?;
            Ok(true)
        }
        (HoldFact::Gone { epoch }, Some(held), _) if held.epoch == *epoch => {
            end_hold(transaction, id, &held)?;
            Ok(true)
        }
        (HoldFact::Gone { .. }, ..) => Ok(false),
    }
}

/// Removes the hold `id`, which is `held`, and what it takes of the budgets.
fn end_hold(transaction: &mut Transaction<'_>, id: &str, held: &HoldRecord) -> Result<(), Error> {
    transaction.remove(storage_keys::hold(id));
    change_meters(transaction, held, |meter| {
        meter.held = meter.held.minus(AmountSum::of(held.amount));
    })
}

/// Changes the meters of the day and month in which `held` was placed. An end user whose meters are lost
/// is counted again. Alerts are left to the next charge.
fn change_meters(
    transaction: &mut Transaction<'_>,
    held: &HoldRecord,
    change: impl Fn(&mut BudgetMeter),
) -> Result<(), Error> {
    let day = Day::of(held.taken_at);
    end_users::count_again(transaction, &held.key, &held.end_user, day)?;
    let account = end_users::account(&held.key, &held.end_user);
    let (key, project, grant) = (&held.key, &held.project, Grant::default());
    for account in BudgetAccount::all(key, project, account.as_deref(), &grant, day) {
        let place = storage_keys::meter(account.span, account.scope, account.name);
        let mut meter: BudgetMeter = load_record(transaction, &place)?.unwrap_or_default();
        change(&mut meter);
        transaction.put(place, meter.encode());
    }
    Ok(())
}
