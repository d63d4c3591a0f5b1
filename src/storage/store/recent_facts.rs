//! Facts that this server has committed lately, in a store that may lose them.
//!
//! A shared store may lose commits that it has confirmed: by a fail-over to a replica that did not have
//! them, or with the end of its log at a loss of power. A transaction remembers what must not be lost
//! ([`Transaction::remember`]), such as a charge or a revocation. When the engine tells of a loss, all
//! that was remembered in the last minute is applied again before any other transaction. Facts are
//! written so that this changes nothing where they are present. Claims are not remembered: another
//! server may have made them since.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use super::backend::Backend;
use super::backend::StoreChange;
use super::read_set::ReadSet;
use super::writer::MAX_RUNS;
use super::writer::Transaction;
use super::writer::check_reads;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::StoreMetrics;

/// Time for which a fact is remembered. Counted at commits, so an outage of the store does not shorten it.
const FACT_MEMORY: Duration = Duration::from_secs(60);
/// Maximum number of facts; the oldest are forgotten first.
const MAX_FACTS: usize = 100_000;
/// Number of facts that are applied again in one commit.
const FACTS_A_COMMIT: usize = 64;

/// Applies a fact again. Returns false if the store has it.
pub(super) type FactRestorer = Box<dyn Fn(&mut Transaction<'_>) -> Result<bool, Error> + Send>;

/// Fact with the name under which it replaces an earlier one.
pub(super) struct NamedFact {
    pub(super) name: Vec<u8>,
    pub(super) restorer: FactRestorer,
}

/// Facts of the last minute.
#[derive(Default)]
pub(super) struct RecentFacts {
    /// Facts by their name, with the number by which they are found in `order`.
    facts: HashMap<Vec<u8>, (u64, FactRestorer)>,
    /// Names in the order of their commits. One whose number is not that of its fact was replaced.
    order: VecDeque<(Instant, u64, Vec<u8>)>,
    /// Number of the last fact.
    last: u64,
    /// True from the moment of a loss until all facts are applied again.
    is_lost: bool,
}

impl fmt::Debug for RecentFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecentFacts")
            .field("facts", &self.facts.len())
            .field("is_lost", &self.is_lost)
            .finish_non_exhaustive()
    }
}

impl RecentFacts {
    /// Remembers facts that were committed just now, and forgets old ones.
    pub(super) fn add(&mut self, facts: impl IntoIterator<Item = NamedFact>) {
        let now = Instant::now();
        for NamedFact { name, restorer } in facts {
            self.last += 1;
            self.order.push_back((now, self.last, name.clone()));
            self.facts.insert(name, (self.last, restorer));
        }
        while self
            .order
            .front()
            .is_some_and(|(at, ..)| self.order.len() > MAX_FACTS || now - *at > FACT_MEMORY)
        {
            if let Some((_, number, name)) = self.order.pop_front()
                && self.is_present(&name, number)
            {
                self.facts.remove(&name);
            }
        }
    }

    fn is_present(&self, name: &[u8], number: u64) -> bool {
        self.facts
            .get(name)
            .is_some_and(|(present, _)| *present == number)
    }

    /// Applies all facts again if `backend` has lost commits.
    ///
    /// # Errors
    /// Fails when the store fails; the facts are applied by the next call then.
    pub(super) fn restore(
        &mut self,
        backend: &dyn Backend,
        metrics: &StoreMetrics,
    ) -> Result<(), Error> {
        // Each run may end with another loss.
        for _ in 0..MAX_RUNS {
            if let Some(commits) = backend.take_loss() {
                metrics.count_lost_commits(commits);
                self.is_lost = true;
            }
            if !self.is_lost {
                return Ok(());
            }
            let restored = self.apply_all(backend).map_err(to_error_of_others)?;
            metrics.count_restored_facts(restored);
            if restored > 0 {
                tracing::warn!(restored, "lost changes made again");
            }
            self.is_lost = false;
        }
        Ok(())
    }

    /// Applies the facts in the order of their commits. Returns the number of those that were missing.
    fn apply_all(&self, backend: &dyn Backend) -> Result<u64, Error> {
        let present = self
            .order
            .iter()
            .filter(|(_, number, name)| self.is_present(name, *number));
        let restorers: Vec<&FactRestorer> = present
            .filter_map(|(_, _, name)| self.facts.get(name).map(|(_, restorer)| restorer))
            .collect();
        let mut restored = 0;
        for group in restorers.chunks(FACTS_A_COMMIT) {
            restored += apply_group(backend, group)?;
        }
        Ok(restored)
    }
}

/// Converts an error of the facts for the transactions that would have come after them, and have not
/// run: the facts may be made, these are not.
fn to_error_of_others(error: Error) -> Error {
    match error {
        Error::NotReplicated { .. } => Error::Suspended(Arc::new(error)),
        error => error,
    }
}

/// Applies `group` with one commit. Returns the number of facts that were missing.
fn apply_group(backend: &dyn Backend, group: &[&FactRestorer]) -> Result<u64, Error> {
    for _ in 0..MAX_RUNS {
        let reads = RefCell::<ReadSet>::default();
        let mut changes = BTreeMap::new();
        let mut afterwards = Vec::new();
        let mut restored = 0;
        for restorer in group {
            let mut transaction = Transaction::new(backend, &changes, &reads);
            match restorer(&mut transaction) {
                Ok(true) => {
                    let (own, callbacks) = transaction.into_changes();
                    changes.extend(own);
                    afterwards.extend(callbacks);
                    restored += 1;
                }
                Ok(false) => {}
                Err(error @ Error::Unreadable { .. }) => {
                    // It does not become readable by itself, and must not stop all others.
                    tracing::error!(error = %ErrorChain(&error), "lost change not made again");
                }
                Err(error) => return Err(error),
            }
        }
        let reads = reads.into_inner();
        let changes: Vec<StoreChange> = changes.into_iter().collect();
        let written = if changes.is_empty() {
            check_reads(backend, &reads)
        } else {
            backend.commit(&reads, &changes)
        };
        if matches!(written, Err(Error::Conflict)) {
            continue;
        }
        for callback in afterwards {
            callback(written.is_ok());
        }
        return written.map(|()| restored);
    }
    Err(Error::Conflict)
}

#[cfg(test)]
#[path = "recent_facts_tests.rs"]
mod tests;
