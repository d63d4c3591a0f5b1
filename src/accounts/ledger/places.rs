//! Where records lie: one table, a letter for each kind.

use crate::storage::store::Table;

use super::budget::Scope;
use super::calendar::Day;
use super::calendar::Span;

/// Everything the ledger keeps.
pub(super) const TABLE: Table = Table::new("ledger");

/// The one `Head`.
const HEAD: u8 = b'a';
/// Id to charge.
const CHARGE: u8 = b'c';
/// Id to open hold.
const HOLD: u8 = b'h';
/// Span, scope and name to meter: the oldest spans first.
const METER: u8 = b'm';
/// Day and id of each charge, to find the oldest.
const ORDER: u8 = b'o';
/// Project, day, key and model to counters.
const USAGE: u8 = b'u';

fn place(kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    TABLE.key([&[kind], rest.concat().as_slice()].concat())
}

pub(super) fn head() -> Vec<u8> {
    place(HEAD, &[])
}

pub(super) fn hold(id: &str) -> Vec<u8> {
    place(HOLD, &[id.as_bytes()])
}

pub(super) fn holds() -> Vec<u8> {
    place(HOLD, &[])
}

pub(super) fn charge(id: &str) -> Vec<u8> {
    place(CHARGE, &[id.as_bytes()])
}

pub(super) fn charges() -> Vec<u8> {
    place(CHARGE, &[])
}

/// The id in the key of a hold or a charge.
pub(super) fn id_of(key: &[u8]) -> Option<String> {
    String::from_utf8(TABLE.rest(key).get(1..)?.to_vec()).ok()
}

pub(super) fn order(day: Day, id: &str) -> Vec<u8> {
    place(ORDER, &[&day.number().to_be_bytes(), id.as_bytes()])
}

pub(super) fn orders() -> Vec<u8> {
    place(ORDER, &[])
}

/// Day and id in a key of the order.
pub(super) fn day_and_id_of(key: &[u8]) -> Option<(Day, String)> {
    let (number, id) = number(TABLE.rest(key).get(1..)?)?;
    Some((
        Day::from_number(number),
        String::from_utf8(id.to_vec()).ok()?,
    ))
}

pub(super) fn meter(span: Span, scope: Scope, name: &str) -> Vec<u8> {
    let (kind, number) = span.to_key();
    place(
        METER,
        &[
            &[kind],
            &number.to_be_bytes(),
            &[scope.letter()],
            name.as_bytes(),
        ],
    )
}

pub(super) fn meters() -> Vec<u8> {
    place(METER, &[])
}

/// The meters of days, or of months, the oldest first.
pub(super) fn meters_like(span: Span) -> Vec<u8> {
    place(METER, &[&[span.to_key().0]])
}

/// Span, scope and name in the key of a meter.
pub(super) fn meter_of(key: &[u8]) -> Option<(Span, Scope, String)> {
    let (kind, rest) = TABLE.rest(key).get(1..)?.split_first()?;
    let (number, rest) = number(rest)?;
    let (letter, name) = rest.split_first()?;
    let scope = Scope::from_letter(*letter)?;
    Some((
        Span::from_key(*kind, number)?,
        scope,
        String::from_utf8(name.to_vec()).ok()?,
    ))
}

/// The usage of all projects.
pub(super) fn all_usage() -> Vec<u8> {
    place(USAGE, &[])
}

/// The usage of a project, the oldest first.
pub(super) fn usage_of(project: &str) -> Vec<u8> {
    place(USAGE, &[&with_length(project)])
}

/// The usage of a project on a day.
pub(super) fn usage_on(project: &str, day: Day) -> Vec<u8> {
    place(USAGE, &[&with_length(project), &day.number().to_be_bytes()])
}

pub(super) fn usage(project: &str, day: Day, key: &str, model: &str) -> Vec<u8> {
    let number = day.number().to_be_bytes();
    place(
        USAGE,
        &[
            &with_length(project),
            &number,
            &with_length(key),
            model.as_bytes(),
        ],
    )
}

/// Project, day, key and model in a key of the usage.
pub(super) fn usage_parts(key: &[u8]) -> Option<(String, Day, String, String)> {
    let (project, rest) = text(TABLE.rest(key).get(1..)?)?;
    let (day, rest) = number(rest)?;
    let (name, model) = text(rest)?;
    Some((
        project,
        Day::from_number(day),
        name,
        String::from_utf8(model.to_vec()).ok()?,
    ))
}

/// A name after its length, so that no name is the beginning of another, whatever it holds.
fn with_length(name: &str) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), name.as_bytes()].concat()
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = number(bytes)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounts::ledger::budget::Window;

    proptest! {
        #[test]
        fn names_are_found_again_whatever_they_hold(
            project in any::<String>(), key in any::<String>(), model in any::<String>(), seconds in any::<u32>(),
        ) {
            let day = Day::of(seconds.into());
            let parts = usage_parts(&usage(&project, day, &key, &model));
            prop_assert_eq!(parts, Some((project.clone(), day, key.clone(), model)));
            prop_assert_eq!(id_of(&charge(&key)), Some(key.clone()));
            prop_assert_eq!(day_and_id_of(&order(day, &key)), Some((day, key)));
            let span = Span::around(Window::Month, day);
            let place = meter(span, Scope::Project, &project);
            prop_assert_eq!(meter_of(&place), Some((span, Scope::Project, project)));
        }
    }
}
