//! End users of keys: who is counted apart, and their usage.
//!
//! The meter of a month exists for each end user who is counted in it, so it says who is. Their number
//! is bounded for each key and month; those beyond the bound share one account, with one budget. What
//! is kept by end user is swept with the single charges.

use crate::domain::Caller;
use crate::domain::EndUser;
use crate::storage::store::Store;
use crate::storage::store::Transaction;

use super::BudgetScope;
use super::BudgetWindow;
use super::Error;
use super::UsageQuery;
use super::calendar::Day;
use super::calendar::Span;
use super::records::ChargeRecord;
use super::records::EndUserCount;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::storage_keys;
use super::usage_counters::UsageCounters;

/// Name of those beyond the bound of a key.
pub(super) const OTHERS: &str = "(others)";
/// Name in reports of what no end user has used.
pub(super) const NOBODY: &str = "(none)";

/// Returns the name of the account of `end_user` of `key`; `None` without an end user. Names of keys
/// hold no slash.
pub(super) fn account(key: &str, end_user: &str) -> Option<String> {
    (!end_user.is_empty()).then(|| format!("{key}/{end_user}"))
}

/// Returns the name of the account that counts the end user of `caller` in the month of `day`; `None`
/// without an end user. Those who are not counted yet, and for whom there is no room, share one.
pub(super) async fn account_of(
    store: &Store,
    caller: &Caller,
    day: Day,
) -> Result<Option<String>, Error> {
    let Some(end_user) = &caller.end_user else {
        return Ok(None);
    };
    let Caller { name, grant, .. } = caller;
    let month = Span::around(BudgetWindow::Month, day);
    let own = account(name, end_user.as_str()).unwrap_or_default();
    let meter = storage_keys::meter(month, BudgetScope::EndUser, &own);
    let place = storage_keys::end_user_count(month, name);
    let mut records = store.get_all(vec![meter, place.clone()]).await?.into_iter();
    let is_counted = records.next().flatten().is_some();
    let count = records.next().flatten();
    let count = count.map(|bytes| EndUserCount::decode(&place, &bytes));
    let number = count.transpose()?.unwrap_or_default().number;
    if is_counted || number < grant.end_users.max_per_key {
        return Ok(Some(own));
    }
    Ok(account(name, OTHERS))
}

/// Returns the name under which the end user of `caller` is counted in the month of `day`; empty
/// without one. A new end user is counted, if there is room for it.
pub(super) fn admit_end_user(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    day: Day,
) -> Result<String, Error> {
    let id = caller.end_user.as_ref().map(EndUser::as_str);
    let max = caller.grant.end_users.max_per_key;
    count_by_name(transaction, &caller.name, id.unwrap_or_default(), day, max)
}

/// Returns the name under which `end_user` of `key` is counted in the month of `day`, as
/// [`admit_end_user`] does: `max` of them are counted apart. Empty if `end_user` is.
pub(super) fn count_by_name(
    transaction: &mut Transaction<'_>,
    key: &str,
    end_user: &str,
    day: Day,
    max: u32,
) -> Result<String, Error> {
    if end_user.is_empty() {
        return Ok(String::new());
    }
    let is_counted = count_end_user(transaction, key, end_user, day, max)?;
    let counted = if is_counted { end_user } else { OTHERS };
    Ok(counted.to_owned())
}

/// Counts `end_user` of `key`, which was counted apart in the month of `day` before the store lost it.
/// Does nothing without an end user. Runs before the meters are written, which say who is counted.
pub(super) fn count_again(
    transaction: &mut Transaction<'_>,
    key: &str,
    end_user: &str,
    day: Day,
) -> Result<(), Error> {
    if !end_user.is_empty() {
        count_end_user(transaction, key, end_user, day, u32::MAX)?;
    }
    Ok(())
}

/// Counts `end_user` of `key` in the month of `day`, unless it is counted. Returns false if `max` others
/// are.
fn count_end_user(
    transaction: &mut Transaction<'_>,
    key: &str,
    end_user: &str,
    day: Day,
    max: u32,
) -> Result<bool, Error> {
    let month = Span::around(BudgetWindow::Month, day);
    let name = account(key, end_user).unwrap_or_default();
    let meter = storage_keys::meter(month, BudgetScope::EndUser, &name);
    if end_user == OTHERS || transaction.get(&meter)?.is_some() {
        return Ok(true);
    }
    let place = storage_keys::end_user_count(month, key);
    let count: EndUserCount = load_record(transaction, &place)?.unwrap_or_default();
    if count.number >= max {
        return Ok(false);
    }
    let number = count.number + 1;
    transaction.put(place, EndUserCount { number }.encode());
    Ok(true)
}

/// Returns the key of the usage counters of the end user of `charged`; `None` without one.
pub(super) fn usage_key(charged: &ChargeRecord) -> Option<Vec<u8>> {
    let ChargeRecord {
        project,
        key,
        end_user,
        ..
    } = charged;
    let place = || storage_keys::end_user_usage(project, charged.day(), key, end_user);
    (!end_user.is_empty()).then(place)
}

/// Reads the usage of each end user that `query` is about, on each day from `from` to `today`.
pub(super) async fn read_usage(
    store: &Store,
    query: &UsageQuery,
    from: Option<Day>,
    today: Day,
) -> Result<Vec<(String, UsageCounters)>, Error> {
    let is_named = |wanted: &Option<String>, name: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == name)
    };
    let mut records = Vec::new();
    match from {
        None => records = store.scan(storage_keys::all_end_user_usage()).await?,
        Some(from) => {
            let mut day = from;
            while day <= today {
                records.extend(store.scan(storage_keys::end_user_usage_on(day)).await?);
                day = day.next();
            }
        }
    }
    let mut found = Vec::new();
    for (place, value) in records {
        let (project, _, key, end_user) = storage_keys::parse_end_user_usage(&place)?;
        if is_named(&query.project, &project) && is_named(&query.key, &key) {
            found.push((end_user, UsageCounters::decode(&place, &value)?));
        }
    }
    Ok(found)
}
