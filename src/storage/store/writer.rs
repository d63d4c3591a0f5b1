//! The single writer: serial transactions with group commit.
//!
//! Transactions are closures. One thread runs them serially, so what they read does not change
//! under them. The changes of a group of transactions are written and synced together, and their
//! callers are notified only after that. A group shares the cost of one disk sync, so the number of
//! syncs does not grow with the load.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;

use super::Error;
use super::backend::Backend;
use super::backend::StoreChange;
use super::backend::StoreRecord;

/// Maximum number of transactions in a group commit. Bounds the latency of each.
const MAX_GROUP: usize = 512;

/// New value per key; `None` deletes the key.
pub(super) type WriteSet = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Callback that receives true if the changes are on disk.
type WriteCallback = Box<dyn FnOnce(bool)>;

/// A transaction's view of the store. Sees its own changes and those of the transactions before it.
pub struct Transaction<'a> {
    backend: &'a dyn Backend,
    /// Changes of earlier transactions in this group, not yet written.
    group: &'a WriteSet,
    /// Changes of this transaction.
    own: WriteSet,
    afterwards: Vec<WriteCallback>,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transaction")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(backend: &'a dyn Backend, group: &'a WriteSet) -> Self {
        Self {
            backend,
            group,
            own: BTreeMap::new(),
            afterwards: Vec::new(),
        }
    }

    /// Returns the value of `key`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.backend.get(key),
        }
    }

    /// Returns the first record whose key starts with `prefix`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn first(&self, prefix: &[u8]) -> Result<Option<StoreRecord>, Error> {
        self.next(prefix, Bound::Included(prefix))
    }

    /// Returns the first record after the key `after` whose key starts with `prefix`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<StoreRecord>, Error> {
        self.next(prefix, Bound::Excluded(after))
    }

    /// Returns all records whose keys start with `prefix`, in key order.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<StoreRecord>, Error> {
        let (mut records, mut next) = (Vec::new(), self.first(prefix)?);
        while let Some(record) = next {
            next = self.after(prefix, &record.0)?;
            records.push(record);
        }
        // Merges three ordered sources: own changes, changes of the group, the backend. The
        // smallest key wins; a deleted key is skipped.
        Ok(records)
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<StoreRecord>, Error> {
        let mut after = after.map(<[u8]>::to_vec);
        loop {
            let bound = || after.as_ref().map(Vec::as_slice);
            let changed = [&self.own, self.group].map(|changes| {
                let next = changes.range::<[u8], _>((bound(), Bound::Unbounded)).next();
                next.map(|(key, _)| key)
                    .filter(|key| key.starts_with(prefix))
            });
            let written = self.backend.next(prefix, bound())?;
            let keys = changed
                .into_iter()
                .flatten()
                .chain(written.as_ref().map(|(key, _)| key));
            let Some(key) = keys.min().cloned() else {
                return Ok(None);
            };
            if let Some(value) = self.get(&key)? {
                return Ok(Some((key, value)));
            }
            after = Bound::Excluded(key);
        }
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.own.insert(key, Some(value));
    }

    /// Deletes `key` and its value.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.own.insert(key, None);
    }

    /// Registers `work` to run after the group is written, with true if the changes are on disk.
    /// Runs before the caller is notified, and also if the caller was cancelled. Runs on the writer
    /// thread, so it must be short.
    pub fn after_write(&mut self, work: impl FnOnce(bool) + 'static) {
        self.afterwards.push(Box::new(work));
    }
}

/// A queued transaction. Running it returns its outcome with the callback that notifies the caller.
pub(super) type WriteJob = Box<dyn FnOnce(&mut Transaction<'_>) -> WriteOutcome + Send>;

pub(super) struct WriteOutcome {
    /// True if the transaction succeeded, so that its changes are to be written.
    pub(super) is_good: bool,
    /// Notifies the caller of the result of the write.
    pub(super) notify: Box<dyn FnOnce(Result<(), Error>)>,
}

/// Runs jobs until all senders are dropped.
pub(super) fn run(backend: &dyn Backend, jobs: &mpsc::Receiver<WriteJob>) {
    while let Ok(first) = jobs.recv() {
        write_group(
            backend,
            std::iter::once(first).chain(jobs.try_iter().take(MAX_GROUP - 1)),
        );
    }
}

/// Runs a group of jobs, writes their changes with one disk sync, then notifies the callers.
fn write_group(backend: &dyn Backend, jobs: impl Iterator<Item = WriteJob>) {
    let mut group = BTreeMap::new();
    let mut bytes = 0;
    let mut waiting = Vec::new();
    for job in jobs {
        let mut transaction = Transaction::new(backend, &group);
        // A panic drops the job's sender, so its caller gets `Closed`. The other jobs are
        // unaffected.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| job(&mut transaction))) else {
            continue;
        };
        let Transaction {
            own, afterwards, ..
        } = transaction;
        // Space is checked per transaction, so that one that does not fit fails alone.
        let writes = outcome.is_good && !own.is_empty();
        let refused = if writes {
            backend.check_space(&own, bytes).err()
        } else {
            None
        };
        if outcome.is_good && refused.is_none() {
            bytes += bytes_of(&own);
            group.extend(own);
        }
        waiting.push((outcome, afterwards, refused));
    }
    let changes: Vec<StoreChange> = group.into_iter().collect();
    let written = if changes.is_empty() {
        Ok(())
    } else {
        backend.write(&changes)
    };
    if let Err(error) = &written {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "store write failed"
        );
    }
    for (outcome, afterwards, refused) in waiting {
        let written = refused.map_or_else(|| written.clone(), Err);
        let is_made = outcome.is_good && written.is_ok();
        afterwards.into_iter().for_each(|work| work(is_made));
        (outcome.notify)(written);
    }
}

/// Returns the total size of the new values, in bytes.
pub(super) fn bytes_of(changes: &WriteSet) -> u64 {
    changes
        .values()
        .flatten()
        .map(|value| value.len() as u64)
        .sum()
}

/// Runs jobs on the calling thread, for stores without a disk.
#[derive(Default)]
pub(super) struct InlineWriter {
    waiting: VecDeque<WriteJob>,
    is_busy: bool,
}

impl InlineWriter {
    /// Runs `job`. A job submitted from within a job, or by another thread meanwhile, is queued and
    /// run by the thread that is running jobs already.
    // The lock is never held while a job runs, so a job may submit another one.
    pub(super) fn submit(this: &Mutex<Self>, backend: &dyn Backend, job: WriteJob) {
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
            drop(state);
            write_group(backend, std::iter::once(job));
        }
    }
}
