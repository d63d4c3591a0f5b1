//! Usage reports: sums of the daily usage counters.

use std::collections::BTreeMap;

use crate::domain::family_of;
use crate::storage::store::Store;
use crate::storage::store::StoreRecord;

use super::Clock;
use super::Day;
use super::Error;
use super::end_users;
use super::records::LedgerRecord as _;
use super::reused_answers::ReusedAnswers;
use super::reused_answers::UsagePlace;
use super::savings::SavingSums;
use super::storage_keys;
use super::usage_counters::UsageCounters;

/// Model name in reports for usage without a known model.
const UNKNOWN_MODEL: &str = "unknown";

/// Query for a usage report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// Project to report on; `None` for all projects.
    pub project: Option<String>,
    /// Key to report on; `None` for all keys.
    pub key: Option<String>,
    /// Period of the report.
    pub period: UsagePeriod,
    /// Grouping of the report; `None` for totals only.
    pub group_by: Option<GroupBy>,
}

/// Period of a report, up to now. Periods start in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsagePeriod {
    /// The current day.
    Day,
    /// The current week, from Monday on.
    Week,
    /// The current month, from its first day on.
    Month,
    /// Time since the ledger exists.
    All,
}

/// Criterion by which usage is grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Groups by the model that answered.
    Model,
    /// Groups by the key that made the request.
    Key,
    /// Groups by day, such as `2026-11-21`.
    Day,
    /// Groups by end user; an id under two keys is one group.
    EndUser,
}

/// Usage in a period, in total and by group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    /// Query that this report answers.
    pub query: UsageQuery,
    /// First day of the period; `None` for the whole time.
    pub from: Option<Day>,
    /// Last day of the period: today.
    pub to: Day,
    /// Totals of the period.
    pub totals: UsageTotals,
    /// Usage by group, ordered by name; empty without a grouping.
    pub groups: Vec<(String, UsageTotals)>,
    /// Usage by model family, ordered by name.
    pub families: Vec<(String, UsageTotals)>,
}

/// Sums of requests, tokens and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageTotals {
    /// Number of requests charged.
    pub requests: u64,
    /// Prompt tokens neither read from nor written to the prompt cache.
    pub input_tokens: u128,
    /// Prompt tokens written to the prompt cache.
    pub cache_write_tokens: u128,
    /// Prompt tokens read from the prompt cache.
    pub cache_read_tokens: u128,
    /// Output tokens of the answers.
    pub output_tokens: u128,
    /// Tokens charged as held, because the real usage is unknown.
    pub estimated_tokens: u128,
    /// Total of the token counts above.
    pub total_tokens: u128,
    /// Total cost in nano-dollars.
    pub cost_nanos: u128,
    /// Number of requests charged as held, because their tokens or cost are unknown.
    pub unknown: u64,
    /// Costs beside those on the baseline, with answers from the response cache.
    pub savings: SavingSums,
}

/// Computes the report for `query` from the counters in `store`, and from answers that are not
/// written yet.
pub(super) async fn usage_report(
    store: &Store,
    clock: &Clock,
    unwritten: &ReusedAnswers,
    query: &UsageQuery,
) -> Result<UsageReport, Error> {
    let today = Day::of(clock.now());
    let from = match query.period {
        UsagePeriod::Day => Some(today),
        UsagePeriod::Week => Some(today.monday()),
        UsagePeriod::Month => Some(today.month().first_day()),
        UsagePeriod::All => None,
    };
    let mut totals = UsageCounters::default();
    let mut groups = BTreeMap::new();
    let mut families = BTreeMap::new();
    for (place, counters) in read_counters(store, unwritten, query, from, today).await? {
        totals = totals.plus(counters);
        let UsagePlace {
            day, key, model, ..
        } = place;
        let model = if model.is_empty() {
            UNKNOWN_MODEL.to_owned()
        } else {
            model
        };
        if counters.requests > 0 {
            add(&mut families, family_of(&model), counters);
        }
        let group = match query.group_by {
            None | Some(GroupBy::EndUser) => continue,
            Some(GroupBy::Model) => model,
            Some(GroupBy::Key) => key,
            Some(GroupBy::Day) => day.to_string(),
        };
        add(&mut groups, &group, counters);
    }
    if query.group_by == Some(GroupBy::EndUser) {
        let mut rest = totals;
        for (end_user, counters) in end_users::read_usage(store, query, from, today).await? {
            rest = rest.minus(counters);
            add(&mut groups, &end_user, counters);
        }
        if rest != UsageCounters::default() {
            add(&mut groups, end_users::NOBODY, rest);
        }
    }
    let figures = |sums: BTreeMap<String, UsageCounters>| {
        sums.into_iter()
            .map(|(name, counters)| (name, UsageTotals::of(counters)))
            .collect()
    };
    let groups = figures(groups);
    let families = figures(families);
    Ok(UsageReport {
        query: query.clone(),
        from,
        to: today,
        totals: UsageTotals::of(totals),
        groups,
        families,
    })
}

/// Reads the counters that `query` is about, on disk and not yet.
async fn read_counters(
    store: &Store,
    unwritten: &ReusedAnswers,
    query: &UsageQuery,
    from: Option<Day>,
    today: Day,
) -> Result<Vec<(UsagePlace, UsageCounters)>, Error> {
    let is_meant = |place: &UsagePlace| {
        let is_named = |wanted: &Option<String>, name: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted == name)
        };
        is_named(&query.project, &place.project)
            && is_named(&query.key, &place.key)
            && from.is_none_or(|from| (from..=today).contains(&place.day))
    };
    let mut found = Vec::new();
    let _still = unwritten.hold_still().await;
    for (key, value) in usage_records(store, query.project.as_deref(), from, today).await? {
        let (project, day, name, model) = storage_keys::parse_usage(&key)?;
        let place = UsagePlace {
            project,
            day,
            key: name,
            model,
        };
        if is_meant(&place) {
            found.push((place, UsageCounters::decode(&key, &value)?));
        }
    }
    for (place, reused) in unwritten.unwritten() {
        if is_meant(&place) {
            let counters = UsageCounters {
                reused,
                ..UsageCounters::default()
            };
            found.push((place, counters));
        }
    }
    Ok(found)
}

fn add(sums: &mut BTreeMap<String, UsageCounters>, name: &str, counters: UsageCounters) {
    let sum = sums.entry(name.to_owned()).or_default();
    *sum = sum.plus(counters);
}

/// Reads the usage records that can belong to the days from `from` to `today`. For a single
/// project, only records of that project are read.
async fn usage_records(
    store: &Store,
    project: Option<&str>,
    from: Option<Day>,
    today: Day,
) -> Result<Vec<StoreRecord>, Error> {
    let (project, from) = match (project, from) {
        (None, _) => return Ok(store.scan(storage_keys::all_usage()).await?),
        (Some(project), None) => return Ok(store.scan(storage_keys::usage_of(project)).await?),
        (Some(project), Some(from)) => (project, from),
    };
    let mut records = Vec::new();
    let mut day = from;
    while day <= today {
        records.extend(store.scan(storage_keys::usage_on(project, day)).await?);
        day = day.next();
    }
    Ok(records)
}

impl UsageTotals {
    fn of(counters: UsageCounters) -> Self {
        Self {
            requests: counters.requests,
            input_tokens: counters.input,
            cache_write_tokens: counters.cache_write,
            cache_read_tokens: counters.cache_read,
            output_tokens: counters.output,
            estimated_tokens: counters.estimated,
            total_tokens: counters.tokens(),
            cost_nanos: counters.money,
            unknown: counters.unknown,
            savings: counters.savings(),
        }
    }
}

impl UsagePeriod {
    /// Every period, the shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::All];

    /// Name of the period, such as `month`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::All => "all",
        }
    }

    /// Returns the period with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == name)
    }
}

impl GroupBy {
    /// Every grouping that is supported.
    pub const ALL: [Self; 4] = [Self::Model, Self::Key, Self::Day, Self::EndUser];

    /// Name of the grouping, such as `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Key => "key",
            Self::Day => "day",
            Self::EndUser => "end_user",
        }
    }

    /// Returns the grouping with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|group_by| group_by.as_str() == name)
    }
}
