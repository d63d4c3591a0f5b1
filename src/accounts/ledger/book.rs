//! Transactions on holds: open a new epoch, place, raise, rename and close a hold.

use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store::Transaction;

use super::Charge;
use super::Error;
use super::Outcome;
use super::alerts::Alert;
use super::budget::Account;
use super::calendar::Day;
use super::hold::Closing;
use super::migration;
use super::places;
use super::records::Charged;
use super::records::Counters;
use super::records::Head;
use super::records::Held;
use super::records::Meter;
use super::records::Record as _;
use super::records::Sum;
use super::records::load;

/// Prefix of the hold ids of resumable runs, which run again after a restart until their result is
/// known.
const REPEATED: &str = "again/";
/// Prefix of the hold ids of runs that wait for a worker.
const WAITING: &str = "waits/";
/// Suffix added to an id once for each charged attempt of a resumable run that gave no answer.
const NEXT: char = '+';

/// Hold id of the resumable run `name`, which runs again after a restart until its result is known.
///
/// After a crash such a hold is released, because the next attempt places another. The id works as
/// an idempotency key: once an answer is charged, further attempts are free.
pub fn repeated(name: &str) -> String {
    format!("{REPEATED}{name}")
}

/// Hold id of the run `name` while it waits for a worker. After a crash such a hold is released,
/// because nothing was sent upstream.
pub fn waiting(name: &str) -> String {
    format!("{WAITING}{name}")
}

/// True if a hold left by a crash is charged in full: the run may have gone upstream and is not
/// resumed.
pub(super) fn is_charged_by_a_crash(id: &str) -> bool {
    !is_repeated(id) && !id.starts_with(WAITING)
}

fn is_repeated(id: &str) -> bool {
    id.starts_with(REPEATED)
}

/// Starts a new epoch and closes the holds that earlier ones left open. Returns the epoch and the
/// number of holds that were charged in full.
pub(super) fn open(transaction: &mut Transaction<'_>, now: u64) -> Result<(u64, usize), Error> {
    migration::migrate(transaction)?;
    let mut head: Head = load(transaction, &places::head())?.unwrap_or_default();
    head.epoch += 1;
    transaction.put(places::head(), head.encode());
    let (holds, mut unknown) = (places::holds(), 0_usize);
    let mut next = transaction.first(&holds)?;
    while let Some((key, _)) = next {
        let id = places::id_of(&key).ok_or(Error::Unreadable {
            what: "the id of a hold",
        })?;
        // Resumable runs place another hold when they run again; waiting runs never went upstream.
        let is_unknown = is_charged_by_a_crash(&id);
        let closing = if is_unknown {
            Closing::Unknown
        } else {
            Closing::Released
        };
        // The budgets are unknown here (they come with the caller), so no alert is raised; the next
        // charge raises it.
        close(transaction, now, &id, closing, &Grant::default())?;
        unknown += usize::from(is_unknown);
        next = transaction.after(&holds, &key)?;
    }
    Ok((head.epoch, unknown))
}

/// Holds `estimate` if all budgets have room. Returns the id of the hold and the amount held.
pub(super) fn take(
    transaction: &mut Transaction<'_>,
    now: u64,
    epoch: u64,
    caller: &Caller,
    estimate: Amount,
    id: &str,
) -> Result<(String, Amount), Error> {
    let mut id = id.to_owned();
    while let Some(charged) = load::<Charged>(transaction, &places::charge(&id))? {
        match charged.outcome {
            _ if !is_repeated(&id) => return Err(Error::Duplicate { id }),
            // The answer was charged but lost. A hold of zero: closing it finds the charge and
            // keeps it.
            Outcome::Answered => return Ok((id, Amount::default())),
            // Charged without an answer: this attempt is charged under an id of its own.
            _ => id.push(NEXT),
        }
    }
    if transaction.get(&places::hold(&id))?.is_some() {
        return Err(Error::Duplicate { id });
    }
    let amount = Amount {
        money: estimate.money.max(Money::ZERO),
        ..estimate
    };
    let wanted = Sum::of(amount);
    let accounts = Account::all(&caller.name, &caller.project, &caller.grant, Day::of(now));
    hold_in(transaction, accounts, Sum::default(), wanted)?;
    let (project, key) = (caller.project.clone(), caller.name.clone());
    let held = Held {
        epoch,
        taken_at: now,
        project,
        key,
        amount,
    };
    transaction.put(places::hold(&id), held.encode());
    Ok((id, amount))
}

/// Raises the hold `id` to at least `wanted` if all budgets have room. Returns the amount now held.
pub(super) fn raise(
    transaction: &mut Transaction<'_>,
    id: &str,
    wanted: Amount,
    grant: &Grant,
) -> Result<Amount, Error> {
    let place = places::hold(id);
    let held: Option<Held> = load(transaction, &place)?;
    let held = held.ok_or(Error::Unreadable {
        what: "a hold that is to be raised",
    })?;
    let (tokens, money) = (
        held.amount.tokens.max(wanted.tokens),
        held.amount.money.max(wanted.money),
    );
    let raised = Amount { tokens, money };
    let accounts = Account::all(&held.key, &held.project, grant, Day::of(held.taken_at));
    hold_in(transaction, accounts, Sum::of(held.amount), Sum::of(raised))?;
    transaction.put(
        place,
        Held {
            amount: raised,
            ..held
        }
        .encode(),
    );
    Ok(raised)
}

/// Replaces `before` by `wanted` in the held sums of all `accounts`, if each has room.
fn hold_in<'a>(
    transaction: &mut Transaction<'_>,
    accounts: impl IntoIterator<Item = Account<'a>>,
    before: Sum,
    wanted: Sum,
) -> Result<(), Error> {
    let mut over = None;
    for account in accounts {
        let place = places::meter(account.span, account.scope, account.name);
        let mut meter: Meter = load(transaction, &place)?.unwrap_or_default();
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
    over.map_or(Ok(()), |over| Err(Error::Over(over)))
}

/// Renames the hold `id` to `begun`.
pub(super) fn rename(
    transaction: &mut Transaction<'_>,
    id: &str,
    begun: &str,
) -> Result<(), Error> {
    if let Some(held) = load::<Held>(transaction, &places::hold(id))? {
        transaction.remove(places::hold(id));
        transaction.put(places::hold(begun), held.encode());
    }
    Ok(())
}

/// Closes the hold `id` if it is open. Idempotent: a hold that was charged before stays as it is.
/// Returns the debited amount, of now or earlier, and the new alerts.
pub(super) fn close(
    transaction: &mut Transaction<'_>,
    now: u64,
    id: &str,
    closing: Closing,
    grant: &Grant,
) -> Result<(Amount, Vec<Alert>), Error> {
    let place = places::hold(id);
    let Some(held) = load::<Held>(transaction, &place)? else {
        // Idempotent: the hold was released, or charged earlier.
        let earlier: Option<Charged> = load(transaction, &places::charge(id))?;
        return Ok((
            earlier.map(|charged| charged.amount()).unwrap_or_default(),
            Vec::new(),
        ));
    };
    transaction.remove(place);
    let charged = match closing {
        Closing::Released => None,
        Closing::Settled(charge) => Some(settled(&held, charge, now)),
        Closing::Unknown => Some(unknown(&held, now)),
    };
    let debit = charged.as_ref().map(Charged::amount).unwrap_or_default();
    let alerts = turn_meters(transaction, &held, debit, grant)?;
    if let Some(charged) = charged {
        write_down(transaction, id, &charged)?;
    }
    Ok((debit, alerts))
}

fn settled(held: &Held, charge: Charge, now: u64) -> Charged {
    let known = charge.money.filter(|money| *money >= Money::ZERO);
    Charged {
        model: charge.model,
        outcome: charge.outcome,
        usage: Usage {
            cost: None,
            ..charge.usage
        },
        estimated_tokens: 0,
        money: known.unwrap_or(held.amount.money),
        is_unknown: known.is_none(),
        ..unknown(held, now)
    }
}

fn unknown(held: &Held, now: u64) -> Charged {
    Charged {
        taken_at: held.taken_at,
        settled_at: now,
        project: held.project.clone(),
        key: held.key.clone(),
        model: String::new(),
        outcome: Outcome::Unknown,
        usage: Usage::default(),
        estimated_tokens: held.amount.tokens,
        money: held.amount.money,
        is_unknown: true,
    }
}

/// Replaces the held amount by `debit` in the meters of the day and month in which the hold was
/// placed.
fn turn_meters(
    transaction: &mut Transaction<'_>,
    held: &Held,
    debit: Amount,
    grant: &Grant,
) -> Result<Vec<Alert>, Error> {
    let mut alerts = Vec::new();
    for account in Account::all(&held.key, &held.project, grant, Day::of(held.taken_at)) {
        let place = places::meter(account.span, account.scope, account.name);
        let mut meter: Meter = load(transaction, &place)?.unwrap_or_default();
        meter.held = meter.held.minus(Sum::of(held.amount));
        meter.spent = meter.spent.plus(Sum::of(debit));
        let (told, new) = account.reached(&meter);
        meter.told = told;
        alerts.extend(
            new.into_iter()
                .map(|reached| Alert::new(&account, &held.project, reached)),
        );
        transaction.put(place, meter.encode());
    }
    Ok(alerts)
}

fn write_down(transaction: &mut Transaction<'_>, id: &str, charged: &Charged) -> Result<(), Error> {
    let day = charged.day();
    transaction.put(places::charge(id), charged.encode());
    transaction.put(places::order(day, id), Vec::new());
    let place = places::usage(&charged.project, day, &charged.key, &charged.model);
    let counters: Counters = load(transaction, &place)?.unwrap_or_default();
    transaction.put(place, counters.plus(Counters::of(charged)).encode());
    Ok(())
}
