//! A store in memory, without a disk.

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::VecDeque;
use std::ops::Bound;
#[cfg(test)]
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;

use super::Error;
use super::backend::Backend;
use super::backend::RecordPage;
use super::backend::StoreChange;
#[cfg(test)]
use super::recent_facts::RecentFacts;
#[cfg(test)]
use super::writer::WriteJob;
#[cfg(test)]
use super::writer::write_group;
#[cfg(test)]
use crate::telemetry::metrics::StoreMetrics;

/// Backend in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryBackend(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Backend for MemoryBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let found = records.range::<[u8], _>((start, Bound::Unbounded));
        let mut found = found.take_while(|(key, _)| key.starts_with(prefix));
        let records = found
            .by_ref()
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(RecordPage {
            records,
            is_last: found.next().is_none(),
        })
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => records.insert(key.clone(), value.clone()),
                None => records.remove(key),
            };
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Runs jobs on the calling thread, so that paused time does not pass meanwhile.
#[cfg(test)]
#[derive(Default)]
pub(super) struct InlineWriter {
    waiting: VecDeque<Box<dyn WriteJob>>,
    is_busy: bool,
    facts: RecentFacts,
}

#[cfg(test)]
impl InlineWriter {
    /// Runs `job`. A job submitted from within a job, or by another thread meanwhile, is queued and
    /// run by the thread that is running jobs already.
    // The lock is never held while a job runs, so a job may submit another one.
    pub(super) fn submit(this: &Mutex<Self>, backend: &dyn Backend, job: Box<dyn WriteJob>) {
        let lock = || this.lock().unwrap_or_else(PoisonError::into_inner);
        lock().waiting.push_back(job);
        if std::mem::replace(&mut lock().is_busy, true) {
            return;
        }
        loop {
            let mut state = lock();
            let Some(job) = state.waiting.pop_front() else {
                state.is_busy = false;
                return;
            };
            // Only the thread that runs jobs uses them.
            let mut facts = std::mem::take(&mut state.facts);
            drop(state);
            // A single job is never left.
            let left = write_group(backend, vec![job], &mut facts, &StoreMetrics::default());
            drop(left);
            lock().facts = facts;
        }
    }
}
