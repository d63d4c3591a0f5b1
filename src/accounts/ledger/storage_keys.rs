//! Storage keys of the ledger: one table, with one letter for each kind of record.

use crate::storage::store::StoreTable;

use super::Error;
use super::budget::BudgetScope;
use super::calendar::Day;
use super::calendar::Span;

/// Table of all records of the ledger.
pub(super) const TABLE: StoreTable = StoreTable::new("ledger");

/// Key of the single `LedgerHead` record.
const HEAD: u8 = b'a';
/// Charges by id.
const CHARGE: u8 = b'c';
/// Addresses of the servers, by name.
const NODE_ADDRESS: u8 = b'd';
/// Usage counters of end users by day, project, key and end user.
const END_USER_USAGE: u8 = b'e';
/// Open holds by id.
const HOLD: u8 = b'h';
/// Meters by span, scope and name; within a window, the oldest span first.
const METER: u8 = b'm';
/// Index of charges by day and id, to find the oldest.
const CHARGE_DAY: u8 = b'o';
/// Leases of the servers, by name.
const NODE: u8 = b'n';
/// Usage counters by project, day, key and model.
const USAGE: u8 = b'u';
/// Numbers of end users by month and key.
const END_USER_COUNT: u8 = b'x';

/// Reason of the error of a record whose key cannot be parsed.
const BAD_KEY: &str = "its key is damaged";

fn storage_key(kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    TABLE.key([&[kind], rest.concat().as_slice()].concat())
}

pub(super) fn head() -> Vec<u8> {
    storage_key(HEAD, &[])
}

pub(super) fn hold(id: &str) -> Vec<u8> {
    storage_key(HOLD, &[id.as_bytes()])
}

pub(super) fn holds() -> Vec<u8> {
    storage_key(HOLD, &[])
}

pub(super) fn charge(id: &str) -> Vec<u8> {
    storage_key(CHARGE, &[id.as_bytes()])
}

pub(super) fn charges() -> Vec<u8> {
    storage_key(CHARGE, &[])
}

pub(super) fn node(name: &str) -> Vec<u8> {
    storage_key(NODE, &[name.as_bytes()])
}

pub(super) fn node_address(name: &str) -> Vec<u8> {
    storage_key(NODE_ADDRESS, &[name.as_bytes()])
}

pub(super) fn nodes() -> Vec<u8> {
    storage_key(NODE, &[])
}

/// Returns the name of a record in error messages: its key without table and kind.
pub(super) fn record_name(key: &[u8]) -> String {
    match TABLE.key_suffix(key).get(1..) {
        None | Some([]) => "of the ledger".to_owned(),
        Some(name) => String::from_utf8_lossy(name).escape_debug().to_string(),
    }
}

/// Extracts the id from the storage key of a hold or a charge, whose kind is `kind`.
pub(super) fn parse_id(kind: &'static str, key: &[u8]) -> Result<String, Error> {
    let id = TABLE.key_suffix(key).get(1..).unwrap_or_default();
    String::from_utf8(id.to_vec()).map_err(|_| Error::unreadable(kind, key, "its id is not UTF-8"))
}

pub(super) fn charge_day(day: Day, id: &str) -> Vec<u8> {
    storage_key(CHARGE_DAY, &[&day.number().to_be_bytes(), id.as_bytes()])
}

pub(super) fn charge_days() -> Vec<u8> {
    storage_key(CHARGE_DAY, &[])
}

/// Extracts day and id from a key of the day index.
pub(super) fn parse_charge_day(key: &[u8]) -> Result<(Day, String), Error> {
    let parse = || {
        let (number, id) = read_number(TABLE.key_suffix(key).get(1..)?)?;
        let id = String::from_utf8(id.to_vec()).ok()?;
        Some((Day::from_number(number), id))
    };
    parse().ok_or_else(|| Error::unreadable("day of a charge", key, BAD_KEY))
}

pub(super) fn meter(span: Span, scope: BudgetScope, name: &str) -> Vec<u8> {
    let (kind, number) = span.to_key();
    storage_key(
        METER,
        &[
            &[kind],
            &number.to_be_bytes(),
            &[scope.tag()],
            name.as_bytes(),
        ],
    )
}

pub(super) fn meters() -> Vec<u8> {
    storage_key(METER, &[])
}

/// Prefix of the meters with the same window as `span`, the oldest first.
pub(super) fn meters_of_window(span: Span) -> Vec<u8> {
    storage_key(METER, &[&[span.to_key().0]])
}

/// Extracts span, scope and name from the key of a meter.
pub(super) fn parse_meter(key: &[u8]) -> Result<(Span, BudgetScope, String), Error> {
    let parse = || {
        let (kind, rest) = TABLE.key_suffix(key).get(1..)?.split_first()?;
        let (number, rest) = read_number(rest)?;
        let (tag, name) = rest.split_first()?;
        let scope = BudgetScope::from_tag(*tag)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        Some((Span::from_key(*kind, number)?, scope, name))
    };
    parse().ok_or_else(|| Error::unreadable("meter of a budget", key, BAD_KEY))
}

/// Prefix of the usage of all projects.
pub(super) fn all_usage() -> Vec<u8> {
    storage_key(USAGE, &[])
}

/// Prefix of the usage of one project, the oldest day first.
pub(super) fn usage_of(project: &str) -> Vec<u8> {
    storage_key(USAGE, &[&with_length(project)])
}

/// Prefix of the usage of one project on one day.
pub(super) fn usage_on(project: &str, day: Day) -> Vec<u8> {
    storage_key(USAGE, &[&with_length(project), &day.number().to_be_bytes()])
}

pub(super) fn usage(project: &str, day: Day, key: &str, model: &str) -> Vec<u8> {
    let number = day.number().to_be_bytes();
    storage_key(
        USAGE,
        &[
            &with_length(project),
            &number,
            &with_length(key),
            model.as_bytes(),
        ],
    )
}

/// Extracts project, day, key and model from a usage key.
pub(super) fn parse_usage(key: &[u8]) -> Result<(String, Day, String, String), Error> {
    let parse = || {
        let (project, rest) = read_text(TABLE.key_suffix(key).get(1..)?)?;
        let (day, rest) = read_number(rest)?;
        let (name, model) = read_text(rest)?;
        Some((
            project,
            Day::from_number(day),
            name,
            String::from_utf8(model.to_vec()).ok()?,
        ))
    };
    parse().ok_or_else(|| Error::unreadable("usage of a day", key, BAD_KEY))
}

/// Prefix of the usage of all end users, the oldest day first.
pub(super) fn all_end_user_usage() -> Vec<u8> {
    storage_key(END_USER_USAGE, &[])
}

/// Prefix of the usage of all end users on one day.
pub(super) fn end_user_usage_on(day: Day) -> Vec<u8> {
    storage_key(END_USER_USAGE, &[&day.number().to_be_bytes()])
}

pub(super) fn end_user_usage(project: &str, day: Day, key: &str, end_user: &str) -> Vec<u8> {
    storage_key(
        END_USER_USAGE,
        &[
            &day.number().to_be_bytes(),
            &with_length(project),
            &with_length(key),
            end_user.as_bytes(),
        ],
    )
}

/// Extracts project, day, key and end user from the key of an end user's usage.
pub(super) fn parse_end_user_usage(key: &[u8]) -> Result<(String, Day, String, String), Error> {
    let parse = || {
        let (day, rest) = read_number(TABLE.key_suffix(key).get(1..)?)?;
        let (project, rest) = read_text(rest)?;
        let (name, end_user) = read_text(rest)?;
        let end_user = String::from_utf8(end_user.to_vec()).ok()?;
        Some((project, Day::from_number(day), name, end_user))
    };
    parse().ok_or_else(|| Error::unreadable("usage of an end user", key, BAD_KEY))
}

/// Key of the number of end users of `key` in the month `span`.
pub(super) fn end_user_count(span: Span, key: &str) -> Vec<u8> {
    let (kind, number) = span.to_key();
    storage_key(
        END_USER_COUNT,
        &[&[kind], &number.to_be_bytes(), key.as_bytes()],
    )
}

/// Prefix of the numbers of end users, the oldest month first.
pub(super) fn end_user_counts() -> Vec<u8> {
    storage_key(END_USER_COUNT, &[])
}

/// Extracts the month from the key of a number of end users.
pub(super) fn parse_end_user_count(key: &[u8]) -> Result<Span, Error> {
    let parse = || {
        let (kind, rest) = TABLE.key_suffix(key).get(1..)?.split_first()?;
        let (number, _) = read_number(rest)?;
        Span::from_key(*kind, number)
    };
    parse().ok_or_else(|| Error::unreadable("number of end users", key, BAD_KEY))
}

/// Encodes a name with its length in front, so that no encoded name is a prefix of another.
fn with_length(name: &str) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), name.as_bytes()].concat()
}

fn read_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn read_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = read_number(bytes)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounts::ledger::budget::BudgetWindow;

    proptest! {
        #[test]
        fn storage_keys_round_trip_any_name(
            project in any::<String>(), key in any::<String>(), model in any::<String>(), seconds in any::<u32>(),
        ) {
            let day = Day::of(seconds.into());
            let parts = parse_usage(&usage(&project, day, &key, &model)).unwrap();
            prop_assert_eq!(parts, (project.clone(), day, key.clone(), model.clone()));
            let place = end_user_usage(&project, day, &key, &model);
            prop_assert!(place.starts_with(&end_user_usage_on(day)));
            let parts = parse_end_user_usage(&place).unwrap();
            prop_assert_eq!(parts, (project.clone(), day, key.clone(), model));
            let month = Span::around(BudgetWindow::Month, day);
            prop_assert_eq!(parse_end_user_count(&end_user_count(month, &key)).unwrap(), month);
            prop_assert_eq!(parse_id("charge", &charge(&key)).unwrap(), key.clone());
            prop_assert_eq!(parse_charge_day(&charge_day(day, &key)).unwrap(), (day, key));
            let span = Span::around(BudgetWindow::Month, day);
            let place = meter(span, BudgetScope::Project, &project);
            prop_assert_eq!(parse_meter(&place).unwrap(), (span, BudgetScope::Project, project));
        }
    }
}
