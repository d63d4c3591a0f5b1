//! Verification of the ledger: recomputes its running sums from the records.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::Budget;
use crate::domain::Grant;
use crate::storage::store;
use crate::storage::store::Store;

use super::BudgetScope;
use super::BudgetWindow;
use super::Day;
use super::Error;
use super::budget::BudgetAccount;
use super::calendar::Span;
use super::end_users;
use super::migration;
use super::records::AmountSum;
use super::records::BudgetMeter;
use super::records::ChargeRecord;
use super::records::HoldRecord;
use super::records::LedgerHead;
use super::records::LedgerRecord;
use super::records::VERSION;
use super::storage_keys;
use super::usage_counters::UsageCounters;

/// Result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Number of single charges.
    pub charges: usize,
    /// Number of open holds. The next start charges those that are neither resumable nor waiting.
    pub holds: usize,
    /// Number of usage counters with charges, each of a key and a model on a day.
    pub counters: usize,
    /// Inconsistencies in words; empty for a sound ledger.
    pub problems: Vec<String>,
}

type MeterTable = BTreeMap<(Span, BudgetScope, String), BudgetMeter>;
type UsageTable = BTreeMap<(String, Day, String, String), UsageCounters>;

/// Snapshot of all records, ordered by key.
struct LedgerSnapshot(Vec<store::StoreRecord>);

impl LedgerSnapshot {
    fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = &store::StoreRecord> {
        let first = self.0.partition_point(|(key, _)| key.as_slice() < prefix);
        self.0[first..]
            .iter()
            .take_while(move |(key, _)| key.starts_with(prefix))
    }
}

/// Verifies one snapshot of the ledger in `store`.
///
/// The usage counters of keys and of end users must equal the sums of the charges, for days whose
/// charges are all kept. For days and months whose meters are kept, the spent sums must equal those of
/// the counters, and the held sums those of the open holds.
pub(super) async fn verify(store: &Store) -> Result<VerifyReport, Error> {
    let snapshot = LedgerSnapshot(store.snapshot(storage_keys::TABLE.key("")).await?);
    let head = snapshot.scan(&storage_keys::head()).next();
    let read = |(key, value): &store::StoreRecord| {
        migration::version_of(value, VERSION)?;
        LedgerHead::decode(key, value)
    };
    let head = head.map(read).transpose()?.unwrap_or_default();
    let charges: Vec<(String, ChargeRecord)> = named(&snapshot, &storage_keys::charges())?;
    let holds: Vec<(String, HoldRecord)> = named(&snapshot, &storage_keys::holds())?;
    let mut retained = UsageTable::new();
    for (key, value) in snapshot.scan(&storage_keys::all_usage()) {
        let counters = UsageCounters::decode(key, value)?.of_charges_alone();
        // Answers from the response cache have no single records.
        if counters != UsageCounters::default() {
            retained.insert(storage_keys::parse_usage(key)?, counters);
        }
    }
    let mut of_end_users = UsageTable::new();
    for (key, value) in snapshot.scan(&storage_keys::all_end_user_usage()) {
        let place = storage_keys::parse_end_user_usage(key)?;
        of_end_users.insert(place, UsageCounters::decode(key, value)?);
    }
    let mut meters = MeterTable::new();
    for (key, value) in snapshot.scan(&storage_keys::meters()) {
        let place = storage_keys::parse_meter(key)?;
        meters.insert(place, BudgetMeter::decode(key, value)?);
    }
    let mut problems = Vec::new();
    compare_orders(&snapshot, &charges, &mut problems)?;
    compare_holds(&head, &holds, &charges, &mut problems);
    let added = add_up(&charges);
    let is_kept = |(_, day, ..): &(String, Day, String, String)| *day >= head.first_kept_day;
    compare(
        "usage",
        &only(&retained, is_kept),
        &only(&added, is_kept),
        &mut problems,
    );
    compare(
        "usage of end users",
        &only(&of_end_users, is_kept),
        &only(&add_up_end_users(&charges), is_kept),
        &mut problems,
    );
    let is_kept = |(span, scope, _): &(Span, BudgetScope, String)| match scope {
        BudgetScope::Key | BudgetScope::Project => {
            *span >= Span::around(window_of(*span), head.first_kept_day)
        }
        // Their usage is swept by day, so a month that has lost days cannot be added up.
        BudgetScope::EndUser => span.first_day() >= head.first_kept_day,
    };
    let expected = expected_meters(&retained, &of_end_users, &holds);
    compare(
        "budget",
        &only(&sums(&meters), is_kept),
        &only(&sums(&expected), is_kept),
        &mut problems,
    );
    Ok(VerifyReport {
        charges: charges.len(),
        holds: holds.len(),
        counters: retained.len(),
        problems,
    })
}

fn named<R: LedgerRecord>(
    snapshot: &LedgerSnapshot,
    prefix: &[u8],
) -> Result<Vec<(String, R)>, Error> {
    let records = snapshot.scan(prefix).map(|(key, value)| {
        Ok((
            storage_keys::parse_id(R::KIND, key)?,
            R::decode(key, value)?,
        ))
    });
    records.collect()
}

fn compare_orders(
    snapshot: &LedgerSnapshot,
    charges: &[(String, ChargeRecord)],
    problems: &mut Vec<String>,
) -> Result<(), Error> {
    let mut found = BTreeMap::new();
    for (key, _) in snapshot.scan(&storage_keys::charge_days()) {
        let (day, id) = storage_keys::parse_charge_day(key)?;
        found.insert((id, day), ());
    }
    let expected = charges
        .iter()
        .map(|(id, charged)| ((id.clone(), charged.day()), ()))
        .collect();
    compare("day of a charge", &found, &expected, problems);
    Ok(())
}

fn compare_holds(
    head: &LedgerHead,
    holds: &[(String, HoldRecord)],
    charges: &[(String, ChargeRecord)],
    problems: &mut Vec<String>,
) {
    for (id, held) in holds {
        if held.epoch > head.epoch {
            let hold = held.epoch;
            let now = head.epoch;
            problems.push(format!(
                "hold {id:?}: taken in start {hold}, and there were {now}"
            ));
        }
        if charges
            .binary_search_by(|(charged, _)| charged.as_bytes().cmp(id.as_bytes()))
            .is_ok()
        {
            problems.push(format!("hold {id:?}: charged and still open"));
        }
    }
}

fn add_up(charges: &[(String, ChargeRecord)]) -> UsageTable {
    let mut sums = UsageTable::new();
    for (_, charged) in charges {
        let project = charged.project.clone();
        let key = charged.key.clone();
        let model = charged.model.clone();
        let sum = sums
            .entry((project, charged.day(), key, model))
            .or_default();
        *sum = sum.plus(UsageCounters::of(charged));
    }
    sums
}

/// Adds up the charges by end user.
fn add_up_end_users(charges: &[(String, ChargeRecord)]) -> UsageTable {
    let mut sums = UsageTable::new();
    for (_, charged) in charges {
        if charged.end_user.is_empty() {
            continue;
        }
        let project = charged.project.clone();
        let key = charged.key.clone();
        let end_user = charged.end_user.clone();
        let sum = sums
            .entry((project, charged.day(), key, end_user))
            .or_default();
        *sum = sum.plus(UsageCounters::of(charged));
    }
    sums
}

fn expected_meters(
    usage: &UsageTable,
    of_end_users: &UsageTable,
    holds: &[(String, HoldRecord)],
) -> MeterTable {
    let grant = Grant::default();
    let mut meters = MeterTable::new();
    for ((project, day, key, _), counters) in usage {
        let accounts = BudgetAccount::all(key, project, None, &grant, *day);
        add_to_meters(
            &mut meters,
            &accounts,
            spent_of(counters),
            AmountSum::default(),
        );
    }
    for ((_, day, key, end_user), counters) in of_end_users {
        let name = end_users::account(key, end_user).unwrap_or_default();
        let accounts =
            BudgetAccount::of_owner(BudgetScope::EndUser, &name, Budget::default(), *day);
        add_to_meters(
            &mut meters,
            &accounts,
            spent_of(counters),
            AmountSum::default(),
        );
    }
    for (_, held) in holds {
        let day = Day::of(held.taken_at);
        let end_user = end_users::account(&held.key, &held.end_user);
        let accounts =
            BudgetAccount::all(&held.key, &held.project, end_user.as_deref(), &grant, day);
        add_to_meters(
            &mut meters,
            &accounts,
            AmountSum::default(),
            AmountSum::of(held.amount),
        );
    }
    meters
}

/// Adds sums to the meters of `accounts`.
fn add_to_meters(
    meters: &mut MeterTable,
    accounts: &[BudgetAccount<'_>],
    spent: AmountSum,
    held: AmountSum,
) {
    for account in accounts {
        let place = (account.span, account.scope, account.name.to_owned());
        let meter = meters.entry(place).or_default();
        meter.spent = meter.spent.plus(spent);
        meter.held = meter.held.plus(held);
    }
}

/// Returns what counters add to the spent sums of their meters.
fn spent_of(counters: &UsageCounters) -> AmountSum {
    AmountSum {
        tokens: counters.tokens(),
        money: counters.money,
    }
}

/// Spent and held sums of the meters, without those that are zero.
fn sums(meters: &MeterTable) -> BTreeMap<(Span, BudgetScope, String), (AmountSum, AmountSum)> {
    let sums = meters
        .iter()
        .map(|(place, meter)| (place.clone(), (meter.spent, meter.held)));
    sums.filter(|(_, sums)| *sums != <(AmountSum, AmountSum)>::default())
        .collect()
}

fn window_of(span: Span) -> BudgetWindow {
    match span {
        Span::Day(_) => BudgetWindow::Day,
        Span::Month(_) => BudgetWindow::Month,
    }
}

fn only<K: Ord + Clone, V: Copy>(
    all: &BTreeMap<K, V>,
    is_wanted: impl Fn(&K) -> bool,
) -> BTreeMap<K, V> {
    all.iter()
        .filter(|(key, _)| is_wanted(key))
        .map(|(key, value)| (key.clone(), *value))
        .collect()
}

fn compare<K, V>(
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
    problems: &mut Vec<String>,
) where
    K: Ord + fmt::Debug,
    V: PartialEq + fmt::Debug,
{
    for (key, value) in expected {
        match found.get(key) {
            Some(found) if found == value => {}
            Some(found) => {
                problems.push(format!("{what} {key:?}: is {found:?}, should be {value:?}"));
            }
            None => problems.push(format!("{what} {key:?}: is missing, should be {value:?}")),
        }
    }
    for key in found.keys().filter(|key| !expected.contains_key(key)) {
        problems.push(format!("{what} {key:?}: should not be there"));
    }
}
