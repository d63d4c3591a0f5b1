//! Answers from the response cache, which are not charged.
//!
//! A cache hit waits for no disk: its answer is counted in memory, where reports see it at once. The
//! task of `sweep` writes the counts every few seconds. A crash loses those that were not written.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::RwLock;
use tokio::sync::RwLockReadGuard;

use crate::domain::BaselineCost;
use crate::domain::Money;
use crate::storage::store;
use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;

use super::Day;
use super::Error;
use super::Ledger;
use super::charge_metrics;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::savings::SavingSums;
use super::storage_keys;
use super::usage_counters::UsageCounters;

/// Answer from the response cache, with the costs that it avoided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReusedAnswer {
    /// Id of the project of the caller.
    pub project: String,
    /// Id of the key of the caller.
    pub key: String,
    /// Resolved id of the model that made the answer.
    pub model: String,
    /// Cost of the answer on the baseline; `None` if it cannot be computed.
    pub baseline: Option<BaselineCost>,
    /// Cost of the run that made the answer.
    pub cost: Money,
}

/// Usage counter by what it counts: a key and a model on a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UsagePlace {
    pub(super) project: String,
    pub(super) day: Day,
    pub(super) key: String,
    pub(super) model: String,
}

type AnswerSums = BTreeMap<UsagePlace, SavingSums>;

/// Counters on disk that cannot be read, with the errors of their records.
type UnreadableCounters = BTreeMap<UsagePlace, Error>;

/// Counts of reused answers that are not on disk yet.
#[derive(Debug, Default)]
pub(super) struct ReusedAnswers {
    sums: Mutex<AnswerSums>,
    /// Places of the unreadable counters that were logged.
    logged: Mutex<BTreeSet<UsagePlace>>,
    /// Held for writing while counts move to the store, so that a report sees each of them once.
    moving: RwLock<()>,
}

impl ReusedAnswers {
    /// Keeps counts in their place, on disk or here, while the guard is held.
    pub(super) async fn hold_still(&self) -> RwLockReadGuard<'_, ()> {
        self.moving.read().await
    }

    /// Returns the counts that are not on disk.
    pub(super) fn unwritten(&self) -> AnswerSums {
        self.lock().clone()
    }

    fn add(&self, place: UsagePlace, sums: SavingSums) {
        let mut all = self.lock();
        let sum = all.entry(place).or_default();
        *sum = sum.plus(sums);
    }

    /// Removes counts that are on disk now.
    fn remove(&self, written: &AnswerSums) {
        let mut all = self.lock();
        for (place, sums) in written {
            if let Some(sum) = all.get_mut(place) {
                *sum = sum.minus(*sums);
            }
        }
        all.retain(|_, sums| !sums.is_empty());
    }

    /// Logs each of the counters once, because they do not become readable by themselves.
    fn log_unreadable(&self, found: UnreadableCounters) {
        let logged = self.logged.lock();
        let mut logged = logged.unwrap_or_else(PoisonError::into_inner);
        for (place, error) in &found {
            if !logged.contains(place) {
                tracing::error!(
                    error = %ErrorChain(error),
                    "cached answers not counted on disk, counter unreadable"
                );
            }
        }
        *logged = found.into_keys().collect();
    }

    fn lock(&self) -> MutexGuard<'_, AnswerSums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Counts an answer from the response cache, without a charge. Waits for no disk: a crash within the
    /// next seconds loses the count.
    pub fn count_reused_answer(&self, answer: ReusedAnswer) {
        let sums = SavingSums::of_answer(&answer);
        charge_metrics::count_saving(&self.0.metrics, &sums);
        let place = UsagePlace {
            project: answer.project,
            day: Day::of(self.0.clock.now()),
            key: answer.key,
            model: answer.model,
        };
        self.0.reused.add(place, sums);
    }

    /// Writes the counts of reused answers, which stay in memory if the store fails. So do those whose
    /// counters on disk cannot be read: the others are written.
    pub(super) async fn write_reused_answers(&self) -> Result<(), Error> {
        let reused = Arc::clone(&self.0.reused);
        let _moving = reused.moving.write().await;
        let counted = reused.unwritten();
        if counted.is_empty() {
            return Ok(());
        }
        let mut written = counted.clone();
        let result = self
            .0
            .store
            .transaction(move |transaction| add_answers(transaction, &counted))
            .await;
        let unreadable = match self.record_store_health(result) {
            // They are made, and would count twice if they were written again.
            Err(Error::Store(store::Error::NotReplicated { .. })) => UnreadableCounters::new(),
            result => result?,
        };
        written.retain(|place, _| !unreadable.contains_key(place));
        reused.remove(&written);
        reused.log_unreadable(unreadable);
        Ok(())
    }
}

/// Adds the counts to the usage counters on disk. Returns the counters that cannot be read, which are
/// left as they are.
fn add_answers(
    transaction: &mut Transaction<'_>,
    answers: &AnswerSums,
) -> Result<UnreadableCounters, Error> {
    let mut unreadable = UnreadableCounters::new();
    for (place, sums) in answers {
        match add_to_counter(transaction, place, *sums) {
            Err(error @ Error::Unreadable(_)) => {
                unreadable.insert(place.clone(), error);
            }
            added => added?,
        }
    }
    Ok(unreadable)
}

fn add_to_counter(
    transaction: &mut Transaction<'_>,
    place: &UsagePlace,
    sums: SavingSums,
) -> Result<(), Error> {
    let UsagePlace {
        project,
        day,
        key,
        model,
    } = place;
    let place = storage_keys::usage(project, *day, key, model);
    let counters: UsageCounters = load_record(transaction, &place)?.unwrap_or_default();
    let counted = UsageCounters {
        reused: counters.reused.plus(sums),
        ..counters
    };
    transaction.put(place, counted.encode());
    Ok(())
}
