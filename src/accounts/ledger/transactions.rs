//! Transactions on holds: place, raise, rename and close a hold.

use std::iter;

use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store::Transaction;

use super::BudgetScope;
use super::Charge;
use super::ChargeOutcome;
use super::Error;
use super::alerts::Alert;
use super::budget::BudgetAccount;
use super::calendar::Day;
use super::end_users;
use super::hold::HoldClosing;
use super::hold_facts::HoldFact;
use super::hold_facts::remember_hold;
use super::node_lease::NodeLease;
use super::records::AmountSum;
use super::records::BudgetMeter;
use super::records::ChargeRecord;
use super::records::HoldRecord;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::storage_keys;
use super::usage_counters::UsageCounters;

/// Hold that was placed, or that needs no place because its answer was charged before.
pub(super) struct PlacedHold {
    /// Id of the hold; resumable runs may have got a suffix.
    pub(super) id: String,
    /// Amount held.
    pub(super) amount: Amount,
    /// False if nothing is written for it.
    pub(super) is_written: bool,
}

/// Result of closing a hold.
#[derive(Default)]
pub(super) struct ClosedHold {
    /// Debited amount, of now or earlier.
    pub(super) debit: Amount,
    /// Charge that is written now; `None` if the hold is released or was closed before.
    pub(super) charged: Option<ChargeRecord>,
    /// Alerts of the budgets that the charge has used.
    pub(super) alerts: Vec<Alert>,
}

/// Prefix of the hold ids of resumable runs, which run again after a restart until their result is
/// known.
const RESUMABLE_PREFIX: &str = "again/";
/// Prefix of the hold ids of runs that wait for a worker.
const WAITING_PREFIX: &str = "waits/";
/// Suffix added to an id once for each charged attempt of a resumable run that gave no answer.
const ATTEMPT_SUFFIX: char = '+';

/// Hold id of the resumable run `name`, which runs again after a restart until its result is known.
///
/// After a crash such a hold is released, because the next attempt places another. The id works as
/// an idempotency key: once an answer is charged, further attempts are free.
pub fn resumable_id(name: &str) -> String {
    format!("{RESUMABLE_PREFIX}{name}")
}

/// Hold id of the run `name` while it waits for a worker. After a crash such a hold is released,
/// because nothing was sent upstream.
pub fn waiting_id(name: &str) -> String {
    format!("{WAITING_PREFIX}{name}")
}

/// True if a hold left by a crash is charged in full: the run may have gone upstream and is not
/// resumed.
pub(super) fn is_charged_after_crash(id: &str) -> bool {
    !is_resumable(id) && !id.starts_with(WAITING_PREFIX)
}

fn is_resumable(id: &str) -> bool {
    id.starts_with(RESUMABLE_PREFIX)
}

/// Holds `estimate` if all budgets have room.
pub(super) fn place_hold(
    transaction: &mut Transaction<'_>,
    now: u64,
    lease: &NodeLease,
    caller: &Caller,
    estimate: Amount,
    id: &str,
) -> Result<PlacedHold, Error> {
    let mut id = id.to_owned();
    while let Some(charged) = load_record::<ChargeRecord>(transaction, &storage_keys::charge(&id))?
    {
        match charged.outcome {
            _ if !is_resumable(&id) => return Err(Error::Duplicate { id }),
            // The answer was charged but lost. A hold of zero: closing it finds the charge and
            // keeps it.
            ChargeOutcome::Answered => {
                return Ok(PlacedHold {
                    id,
                    amount: Amount::default(),
                    is_written: false,
                });
            }
            // Charged without an answer: this attempt is charged under an id of its own.
            _ => id.push(ATTEMPT_SUFFIX),
        }
    }
    if transaction.get(&storage_keys::hold(&id))?.is_some() {
        return Err(Error::Duplicate { id });
    }
    let amount = Amount {
        money: estimate.money.max(Money::ZERO),
        ..estimate
    };
    let wanted = AmountSum::of(amount);
    let Caller {
        name,
        project,
        grant,
        ..
    } = caller;
    let day = Day::of(now);
    let end_user = end_users::admit_end_user(transaction, caller, day)?;
    let account = end_users::account(name, &end_user);
    let accounts = BudgetAccount::all(name, project, account.as_deref(), grant, day);
    reserve_in_accounts(transaction, accounts, AmountSum::default(), wanted)?;
    let epoch = lease.epoch_of_hold(transaction, now)?;
    let held = HoldRecord {
        epoch,
        taken_at: now,
        project: project.clone(),
        key: name.clone(),
        amount,
        end_user,
    };
    transaction.put(storage_keys::hold(&id), held.encode());
    remember_hold(transaction, &id, || HoldFact::Open(held));
    Ok(PlacedHold {
        id,
        amount,
        is_written: true,
    })
}

/// Raises the hold `id` to at least `wanted` if all budgets have room. Returns the amount now held.
pub(super) fn raise_hold(
    transaction: &mut Transaction<'_>,
    id: &str,
    wanted: Amount,
    grant: &Grant,
) -> Result<Amount, Error> {
    let place = storage_keys::hold(id);
    let Some(held) = load_record::<HoldRecord>(transaction, &place)? else {
        let charged: Option<ChargeRecord> = load_record(transaction, &storage_keys::charge(id))?;
        return match charged {
            // A repeated run whose answer was charged already is free, so nothing is held for it.
            Some(charged) if is_resumable(id) && charged.outcome == ChargeOutcome::Answered => {
                Ok(Amount::default())
            }
            _ => Err(Error::unreadable(HoldRecord::KIND, &place, "it is gone")),
        };
    };
    let tokens = held.amount.tokens.max(wanted.tokens);
    let money = held.amount.money.max(wanted.money);
    let raised = Amount { tokens, money };
    let account = end_users::account(&held.key, &held.end_user);
    let accounts = accounts_of(&held, account.as_deref(), grant);
    reserve_in_accounts(
        transaction,
        accounts,
        AmountSum::of(held.amount),
        AmountSum::of(raised),
    )?;
    let held = HoldRecord {
        amount: raised,
        ..held
    };
    transaction.put(place, held.encode());
    remember_hold(transaction, id, || HoldFact::Open(held));
    Ok(raised)
}

/// Replaces `before` by `wanted` in the held sums of all `accounts`, if each has room.
pub(super) fn reserve_in_accounts<'a>(
    transaction: &mut Transaction<'_>,
    accounts: impl IntoIterator<Item = BudgetAccount<'a>>,
    before: AmountSum,
    wanted: AmountSum,
) -> Result<(), Error> {
    let mut over = None;
    for account in accounts {
        let place = storage_keys::meter(account.span, account.scope, account.name);
        let mut meter: BudgetMeter = load_record(transaction, &place)?.unwrap_or_default();
        meter.held = meter.held.minus(before);
        // Of several exceeded budgets, the one that resets last is reported.
        over = account
            .check(&meter, wanted)
            .into_iter()
            .chain(over)
            .max_by_key(|over| over.resets_at);
        meter.held = meter.held.plus(wanted);
        transaction.put(place, meter.encode());
    }
    // A failed transaction is rolled back, so the meters written above do not count.
    over.map_or(Ok(()), |over| Err(Error::BudgetExceeded(over)))
}

/// Renames the hold `id` to `started_id`.
pub(super) fn rename_hold(
    transaction: &mut Transaction<'_>,
    id: &str,
    started_id: &str,
) -> Result<(), Error> {
    if let Some(held) = load_record::<HoldRecord>(transaction, &storage_keys::hold(id))? {
        transaction.remove(storage_keys::hold(id));
        transaction.put(storage_keys::hold(started_id), held.encode());
        let epoch = held.epoch;
        remember_hold(transaction, id, || HoldFact::Gone { epoch });
        remember_hold(transaction, started_id, || HoldFact::Open(held));
    }
    Ok(())
}

/// Returns true if the hold `id` is open and of another epoch than `epoch`.
pub(super) fn is_held_by_another(
    transaction: &Transaction<'_>,
    id: &str,
    epoch: u64,
) -> Result<bool, Error> {
    let held: Option<HoldRecord> = load_record(transaction, &storage_keys::hold(id))?;
    Ok(held.is_some_and(|held| held.epoch != epoch))
}

/// Closes the hold `id` if it is open. Idempotent: a hold that was closed before stays as it is, unless
/// it was charged as estimated and its cost is known now.
pub(super) fn close_hold(
    transaction: &mut Transaction<'_>,
    now: u64,
    id: &str,
    closing: HoldClosing,
    grant: &Grant,
) -> Result<ClosedHold, Error> {
    let place = storage_keys::hold(id);
    let Some(held) = load_record::<HoldRecord>(transaction, &place)? else {
        return Ok(ClosedHold {
            debit: close_again(transaction, now, id, closing, grant)?,
            charged: None,
            alerts: Vec::new(),
        });
    };
    transaction.remove(place);
    let charged = match closing {
        HoldClosing::Released => None,
        HoldClosing::Settled(charge) => Some(settled_record(&held, charge, now)),
        HoldClosing::Unknown => Some(unknown_record(&held, now)),
    };
    let debit = charged
        .as_ref()
        .map(ChargeRecord::amount)
        .unwrap_or_default();
    let alerts = debit_meters(transaction, &held, debit, grant)?;
    match &charged {
        Some(charged) => write_charge(transaction, id, charged)?,
        None => remember_hold(transaction, id, || HoldFact::Gone { epoch: held.epoch }),
    }
    Ok(ClosedHold {
        debit,
        charged,
        alerts,
    })
}

/// Replaces the cost of the charge `id` by `money`, in its record, the meters and the usage. Does
/// nothing if there is no such charge.
pub(super) fn correct_charge(
    transaction: &mut Transaction<'_>,
    id: &str,
    money: Money,
    grant: &Grant,
) -> Result<(), Error> {
    let place = storage_keys::charge(id);
    let Some(charged) = load_record::<ChargeRecord>(transaction, &place)? else {
        return Ok(());
    };
    let corrected = ChargeRecord {
        money,
        is_unknown: false,
        ..charged.clone()
    };
    replace_charge(transaction, id, &charged, Some(&corrected), grant)
}

/// Closes the hold `id`, which is not open any more. A charge as estimated, by a server that took this
/// one for dead, gives way to what is known of the run. Returns the debited amount.
fn close_again(
    transaction: &mut Transaction<'_>,
    now: u64,
    id: &str,
    closing: HoldClosing,
    grant: &Grant,
) -> Result<Amount, Error> {
    let Some(earlier) = load_record::<ChargeRecord>(transaction, &storage_keys::charge(id))? else {
        return Ok(Amount::default());
    };
    let is_estimate = earlier.outcome == ChargeOutcome::Unknown;
    let known = match closing {
        HoldClosing::Settled(charge) if is_estimate => {
            let held = HoldRecord {
                epoch: 0,
                taken_at: earlier.taken_at,
                project: earlier.project.clone(),
                key: earlier.key.clone(),
                amount: earlier.amount(),
                end_user: earlier.end_user.clone(),
            };
            Some(settled_record(&held, charge, now))
        }
        HoldClosing::Released if is_estimate => None,
        _ => return Ok(earlier.amount()),
    };
    replace_charge(transaction, id, &earlier, known.as_ref(), grant)?;
    Ok(known.as_ref().map(ChargeRecord::amount).unwrap_or_default())
}

/// Replaces the charge `earlier` with the id `id` by `charged`, in its record, the meters and the usage;
/// removes it if that is `None`. Raises no alert: the next charge does.
pub(super) fn replace_charge(
    transaction: &mut Transaction<'_>,
    id: &str,
    earlier: &ChargeRecord,
    charged: Option<&ChargeRecord>,
    grant: &Grant,
) -> Result<(), Error> {
    let day = earlier.day();
    let debit = charged.map(ChargeRecord::amount).unwrap_or_default();
    let account = end_users::account(&earlier.key, &earlier.end_user);
    let (key, project) = (&earlier.key, &earlier.project);
    for account in BudgetAccount::all(key, project, account.as_deref(), grant, day) {
        let place = storage_keys::meter(account.span, account.scope, account.name);
        let mut meter: BudgetMeter = load_record(transaction, &place)?.unwrap_or_default();
        let spent = meter.spent.minus(AmountSum::of(earlier.amount()));
        meter.spent = spent.plus(AmountSum::of(debit));
        transaction.put(place, meter.encode());
    }
    for place in usage_keys(earlier) {
        let counters: UsageCounters = load_record(transaction, &place)?.unwrap_or_default();
        let counters = counters.minus(UsageCounters::of(earlier));
        if counters == UsageCounters::default() {
            transaction.remove(place);
        } else {
            transaction.put(place, counters.encode());
        }
    }
    if let Some(charged) = charged {
        return write_charge(transaction, id, charged);
    }
    transaction.remove(storage_keys::charge(id));
    transaction.remove(storage_keys::charge_day(day, id));
    Ok(())
}

fn settled_record(held: &HoldRecord, charge: Charge, now: u64) -> ChargeRecord {
    let known = charge.money.filter(|money| *money >= Money::ZERO);
    ChargeRecord {
        model: charge.model,
        outcome: charge.outcome,
        usage: Usage {
            cost: None,
            ..charge.usage
        },
        estimated_tokens: charge.estimated_tokens,
        money: known.unwrap_or(held.amount.money),
        is_unknown: known.is_none(),
        baseline: charge.baseline,
        sign_in: charge.sign_in.map(|name| name.as_ref().to_owned()),
        fallback: charge.fallback,
        ..unknown_record(held, now)
    }
}

fn unknown_record(held: &HoldRecord, now: u64) -> ChargeRecord {
    ChargeRecord {
        taken_at: held.taken_at,
        settled_at: now,
        project: held.project.clone(),
        key: held.key.clone(),
        model: String::new(),
        outcome: ChargeOutcome::Unknown,
        usage: Usage::default(),
        estimated_tokens: held.amount.tokens,
        money: held.amount.money,
        is_unknown: true,
        baseline: None,
        end_user: held.end_user.clone(),
        sign_in: None,
        fallback: None,
    }
}

/// Returns the meters of a hold, with those of the account `end_user`.
fn accounts_of<'a>(
    held: &'a HoldRecord,
    end_user: Option<&'a str>,
    grant: &Grant,
) -> Vec<BudgetAccount<'a>> {
    let day = Day::of(held.taken_at);
    BudgetAccount::all(&held.key, &held.project, end_user, grant, day)
}

/// Replaces the held amount by `debit` in the meters of the day and month in which the hold was
/// placed.
fn debit_meters(
    transaction: &mut Transaction<'_>,
    held: &HoldRecord,
    debit: Amount,
    grant: &Grant,
) -> Result<Vec<Alert>, Error> {
    let mut alerts = Vec::new();
    let end_user = end_users::account(&held.key, &held.end_user);
    for account in accounts_of(held, end_user.as_deref(), grant) {
        let place = storage_keys::meter(account.span, account.scope, account.name);
        let mut meter: BudgetMeter = load_record(transaction, &place)?.unwrap_or_default();
        meter.held = meter.held.minus(AmountSum::of(held.amount));
        meter.spent = meter.spent.plus(AmountSum::of(debit));
        // No alert names an end user: its receivers know keys and projects.
        if account.scope != BudgetScope::EndUser {
            let (reported, new) = account.reached_thresholds(&meter);
            meter.alerted = reported;
            alerts.extend(
                new.into_iter()
                    .map(|reached| Alert::new(&account, &held.project, reached)),
            );
        }
        transaction.put(place, meter.encode());
    }
    Ok(alerts)
}

pub(super) fn write_charge(
    transaction: &mut Transaction<'_>,
    id: &str,
    charged: &ChargeRecord,
) -> Result<(), Error> {
    let day = charged.day();
    transaction.put(storage_keys::charge(id), charged.encode());
    transaction.put(storage_keys::charge_day(day, id), Vec::new());
    for place in usage_keys(charged) {
        let counters: UsageCounters = load_record(transaction, &place)?.unwrap_or_default();
        transaction.put(place, counters.plus(UsageCounters::of(charged)).encode());
    }
    remember_hold(transaction, id, || HoldFact::Charged(charged.clone()));
    Ok(())
}

/// Returns the keys of the usage counters of `charged`: of its key and model, and of its end user.
fn usage_keys(charged: &ChargeRecord) -> impl Iterator<Item = Vec<u8>> + use<> {
    let ChargeRecord {
        project,
        key,
        model,
        ..
    } = charged;
    let place = storage_keys::usage(project, charged.day(), key, model);
    iter::once(place).chain(end_users::usage_key(charged))
}
