//! Spending over time: charges of today by hour, and of this month by day.

use std::collections::BTreeMap;

use crate::domain::Amount;
use crate::domain::SECONDS_A_DAY;
use crate::storage::store::Store;

use super::BudgetScope;
use super::Clock;
use super::Day;
use super::Error;
use super::records::AmountSum;
use super::records::ChargeRecord;
use super::records::LedgerRecord as _;
use super::storage_keys;
use super::usage_counters::UsageCounters;

const SECONDS_AN_HOUR: u64 = 3_600;

/// Spending of each key in equal steps of time, from the start of the day or of the month up to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendingHistory {
    /// Start of the first step, in seconds of Unix time.
    pub starts_at: u64,
    /// Length of a step in seconds.
    pub step_seconds: u64,
    /// Number of steps that have begun.
    steps: usize,
    /// Sums of the steps by project and key.
    spent: BTreeMap<(String, String), Vec<AmountSum>>,
}

impl SpendingHistory {
    fn new(starts_at: u64, step_seconds: u64, now: u64) -> Self {
        let steps = now.saturating_sub(starts_at) / step_seconds + 1;
        Self {
            starts_at,
            step_seconds,
            steps: usize::try_from(steps).unwrap_or(usize::MAX),
            spent: BTreeMap::new(),
        }
    }

    /// Adds what `key` of `project` has spent at `time`; what lies outside of the steps is left out.
    fn add(&mut self, project: String, key: String, time: u64, amount: AmountSum) {
        let since = time.checked_sub(self.starts_at);
        let step = since.and_then(|since| usize::try_from(since / self.step_seconds).ok());
        let Some(step) = step.filter(|step| *step < self.steps) else {
            return;
        };
        let steps = self.steps;
        let sums = self.spent.entry((project, key));
        let sums = sums.or_insert_with(|| vec![AmountSum::default(); steps]);
        sums[step] = sums[step].plus(amount);
    }

    /// Returns what the key or project has spent since the start, at the end of each step; the last is
    /// up to now. Of end users no history is kept.
    pub fn cumulative(&self, scope: BudgetScope, id: &str) -> Vec<Amount> {
        let mut steps = vec![AmountSum::default(); self.steps];
        for ((project, key), sums) in &self.spent {
            let owner = match scope {
                BudgetScope::Key => key,
                BudgetScope::Project => project,
                BudgetScope::EndUser => continue,
            };
            if owner == id {
                for (total, sum) in steps.iter_mut().zip(sums) {
                    *total = total.plus(*sum);
                }
            }
        }
        let mut total = AmountSum::default();
        steps
            .into_iter()
            .map(|step| {
                total = total.plus(step);
                total.clamped()
            })
            .collect()
    }
}

/// Reads the charges of today, by hour.
pub(super) async fn spending_today(store: &Store, clock: &Clock) -> Result<SpendingHistory, Error> {
    let now = clock.now();
    let today = Day::of(now);
    let mut history = SpendingHistory::new(today.begins_at(), SECONDS_AN_HOUR, now);
    let index = store.scan(storage_keys::charge_day(today, "")).await?;
    let places = index.iter().map(|(key, _)| {
        let (_, id) = storage_keys::parse_charge_day(key)?;
        Ok::<_, Error>(storage_keys::charge(&id))
    });
    let places: Vec<Vec<u8>> = places.collect::<Result<_, _>>()?;
    let records = store.get_all(places.clone()).await?;
    for (place, bytes) in places.iter().zip(records) {
        // A charge may have been swept since the index was read.
        let Some(bytes) = bytes else { continue };
        let charge = ChargeRecord::decode(place, &bytes)?;
        let amount = AmountSum::of(charge.amount());
        history.add(charge.project, charge.key, charge.taken_at, amount);
    }
    Ok(history)
}

/// Reads the sums of this month, by day.
pub(super) async fn spending_this_month(
    store: &Store,
    clock: &Clock,
) -> Result<SpendingHistory, Error> {
    let now = clock.now();
    let first = Day::of(now).month().first_day();
    let mut history = SpendingHistory::new(first.begins_at(), SECONDS_A_DAY, now);
    for (place, value) in store.scan(storage_keys::all_usage()).await? {
        let (project, day, key, _) = storage_keys::parse_usage(&place)?;
        if day < first {
            continue;
        }
        let counters = UsageCounters::decode(&place, &value)?;
        let amount = AmountSum {
            tokens: counters.tokens(),
            money: counters.money,
        };
        history.add(project, key, day.begins_at(), amount);
    }
    Ok(history)
}
