//! Facts that this server has committed lately, in a store that may lose them.
//!
//! A shared store may lose commits that it has confirmed: by a fail-over to a replica that did not have
//! them, or with the end of its log at a loss of power. A transaction remembers what must not be lost
//! ([`Transaction::remember`]), such as a charge or a revocation, and what should not
//! ([`Transaction::remember_result`]), such as an answer. When the engine tells of a loss, all
//! that was remembered in the last minute is applied again before any other transaction. Facts are
//! written so that this changes nothing where they are present. Claims are not remembered: another
//! server may have made them since.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::Error;
use super::backend::Backend;
use super::backend::StoreChange;
use super::fact_set::FactSet;
use super::fact_set::KeptFact;
use super::read_set::ReadSet;
use super::writer::MAX_RUNS;
use super::writer::Transaction;
use super::writer::check_reads;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::StoreMetrics;

/// Number of facts that are applied again in one commit.
const FACTS_A_COMMIT: usize = 64;
/// Maximum memory of the results, in bytes; the oldest are forgotten first.
const MAX_RESULT_BYTES: u64 = 64 << 20;

/// Applies a fact again. Returns false if the store has it.
pub(super) type FactRestorer = Box<dyn Fn(&mut Transaction<'_>) -> Result<bool, Error> + Send>;

/// Fact with the name under which it replaces an earlier one.
pub(super) struct NamedFact {
    pub(super) name: Vec<u8>,
    pub(super) restorer: FactRestorer,
    /// Size of the value of a result; `None` for what must not be lost.
    pub(super) result_bytes: Option<u64>,
}

/// Facts of the last minute.
#[derive(Default)]
pub(super) struct RecentFacts {
    /// Facts that must not be lost, such as charges. Results take no room from them.
    vital: FactSet,
    /// Results, such as answers, which may be large.
    results: FactSet,
    /// True from the moment of a loss until all facts are applied again.
    is_lost: bool,
}

impl fmt::Debug for RecentFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecentFacts")
            .field("vital", &self.vital.len())
            .field("results", &self.results.len())
            .field("is_lost", &self.is_lost)
            .finish_non_exhaustive()
    }
}

impl Transaction<'_> {
    /// Remembers a fact that this transaction commits, in place of what was remembered as `name`, so that
    /// it is not lost with the commit. If the store loses commits within a minute, `restore` runs as
    /// part of a transaction; it changes nothing and returns false if the fact is there. Does
    /// nothing in a store that is not shared, which loses no commit.
    pub fn remember(
        &mut self,
        name: Vec<u8>,
        restore: impl Fn(&mut Transaction<'_>) -> Result<bool, Error> + Send + 'static,
    ) {
        if self.is_shared() {
            self.facts.push(NamedFact {
                name,
                restorer: Box::new(restore),
                result_bytes: None,
            });
        }
    }

    /// Remembers a result as [`remember`](Self::remember) does, whose value has `bytes` bytes. All results
    /// have one bound of memory, beyond which the oldest are forgotten. `restore` runs after the facts
    /// that must not be lost.
    pub fn remember_result(
        &mut self,
        name: Vec<u8>,
        bytes: usize,
        restore: impl Fn(&mut Transaction<'_>) -> Result<bool, Error> + Send + 'static,
    ) {
        if self.is_shared() {
            self.facts.push(NamedFact {
                name,
                restorer: Box::new(restore),
                result_bytes: Some(bytes as u64),
            });
        }
    }
}

impl RecentFacts {
    /// Remembers facts that were committed just now, and forgets old ones.
    pub(super) fn add(
        &mut self,
        facts: impl IntoIterator<Item = NamedFact>,
        metrics: &StoreMetrics,
    ) {
        let now = Instant::now();
        let mut forgotten = 0;
        for fact in facts {
            forgotten += match fact.result_bytes {
                Some(_) => self.results.add(now, fact, MAX_RESULT_BYTES),
                None => self.vital.add(now, fact, u64::MAX),
            };
        }
        forgotten += self.vital.forget_old(now, u64::MAX);
        forgotten += self.results.forget_old(now, MAX_RESULT_BYTES);
        metrics.count_forgotten_facts(forgotten);
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

    /// Applies the facts in the order of their commits, results last. Returns the number of those that
    /// were missing.
    fn apply_all(&self, backend: &dyn Backend) -> Result<u64, Error> {
        let mut restored = 0;
        let mut group = Vec::new();
        let mut bytes = 0;
        for KeptFact {
            bytes: fact_bytes,
            restorer,
            ..
        } in self.vital.in_order().chain(self.results.in_order())
        {
            if group.len() == FACTS_A_COMMIT || bytes >= backend.max_group_bytes() {
                restored += apply_group(backend, &group)?;
                group.clear();
                bytes = 0;
            }
            group.push(restorer);
            bytes += fact_bytes;
        }
        restored += apply_group(backend, &group)?;
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
