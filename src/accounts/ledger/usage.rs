//! What was used: the counters of days, added up.

use std::collections::BTreeMap;

use crate::domain::family_of;
use crate::storage::store::Record;
use crate::storage::store::Store;

use super::Clock;
use super::Day;
use super::Error;
use super::places;
use super::records::Counters;
use super::records::Record as _;

/// The model of whoever did not say which it was.
const NO_MODEL: &str = "unknown";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The project; none for all of them.
    pub project: Option<String>,
    /// One key; none for all of them.
    pub key: Option<String>,
    /// Which time.
    pub period: Period,
    /// By what; none for totals alone.
    pub group_by: Option<GroupBy>,
}

/// A time, up to now. All of them begin in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Today.
    Day,
    /// Since Monday.
    Week,
    /// Since the first of the month.
    Month,
    /// Everything.
    All,
}

/// What usage is listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The model that answered.
    Model,
    /// The key that asked.
    Key,
    /// The day, such as `2026-11-21`.
    Day,
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was asked for.
    pub query: Query,
    /// The first day; none where there is no limit.
    pub from: Option<Day>,
    /// The last day, which is today.
    pub to: Day,
    /// Everything together.
    pub totals: Figures,
    /// By name, in the order of names; empty unless it was asked for.
    pub groups: Vec<(String, Figures)>,
    /// By the family of the model, in the order of names.
    pub families: Vec<(String, Figures)>,
}

/// What was used, in sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that were charged.
    pub requests: u64,
    /// Tokens of prompts that had nothing to do with the prompt cache.
    pub input_tokens: u128,
    /// Tokens written to the prompt cache.
    pub cache_write_tokens: u128,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: u128,
    /// Tokens of answers.
    pub output_tokens: u128,
    /// Tokens that were held, of requests of which nobody knows what they took.
    pub estimated_tokens: u128,
    /// All of these tokens.
    pub total_tokens: u128,
    /// Nano-dollars.
    pub cost_nanos: u128,
    /// Requests of which tokens or money are not known, and were charged as they were held.
    pub unknown: u64,
}

/// What was used, of what `store` keeps.
pub(super) async fn usage(store: &Store, clock: &Clock, query: &Query) -> Result<Report, Error> {
    let today = Day::of(clock.now());
    let from = match query.period {
        Period::Day => Some(today),
        Period::Week => Some(today.monday()),
        Period::Month => Some(today.month().first_day()),
        Period::All => None,
    };
    let mut totals = Counters::default();
    let (mut groups, mut families) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in records(store, query.project.as_deref(), from, today).await? {
        let (_, day, name, model) = parts_of(&key)?;
        let is_meant = query.key.as_ref().is_none_or(|wanted| *wanted == name);
        if !is_meant || from.is_some_and(|from| !(from..=today).contains(&day)) {
            continue;
        }
        let counters = Counters::decode(&value)?;
        totals = totals.plus(counters);
        let model = if model.is_empty() {
            NO_MODEL.to_owned()
        } else {
            model
        };
        add(&mut families, family_of(&model), counters);
        let group = match query.group_by {
            None => continue,
            Some(GroupBy::Model) => model,
            Some(GroupBy::Key) => name,
            Some(GroupBy::Day) => day.to_string(),
        };
        add(&mut groups, &group, counters);
    }
    let figures = |sums: BTreeMap<String, Counters>| {
        sums.into_iter()
            .map(|(name, counters)| (name, Figures::of(counters)))
            .collect()
    };
    let (groups, families) = (figures(groups), figures(families));
    Ok(Report {
        query: query.clone(),
        from,
        to: today,
        totals: Figures::of(totals),
        groups,
        families,
    })
}

fn add(sums: &mut BTreeMap<String, Counters>, name: &str, counters: Counters) {
    let sum = sums.entry(name.to_owned()).or_default();
    *sum = sum.plus(counters);
}

/// The records that may be of these days; of one project, no others are read.
async fn records(
    store: &Store,
    project: Option<&str>,
    from: Option<Day>,
    today: Day,
) -> Result<Vec<Record>, Error> {
    let (project, from) = match (project, from) {
        (None, _) => return Ok(store.scan(places::all_usage()).await?),
        (Some(project), None) => return Ok(store.scan(places::usage_of(project)).await?),
        (Some(project), Some(from)) => (project, from),
    };
    let (mut records, mut day) = (Vec::new(), from);
    while day <= today {
        records.extend(store.scan(places::usage_on(project, day)).await?);
        day = day.next();
    }
    Ok(records)
}

pub(super) fn parts_of(key: &[u8]) -> Result<(String, Day, String, String), Error> {
    places::usage_parts(key).ok_or(Error::Unreadable {
        what: "whose usage it is",
    })
}

impl Figures {
    fn of(counters: Counters) -> Self {
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
        }
    }
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::All];

    /// Its name: `month`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::All => "all",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == name)
    }
}

impl GroupBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Model, Self::Key, Self::Day];

    /// Its name: `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Key => "key",
            Self::Day => "day",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|group_by| group_by.as_str() == name)
    }
}
