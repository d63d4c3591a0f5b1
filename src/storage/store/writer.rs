//! The single writer: serial transactions with group commit.
//!
//! Transactions are closures. One thread runs them serially, so what they read does not change
//! under them. The changes of a group of transactions are written and synced together, and their
//! callers are notified only after that. A group shares the cost of one disk sync, so the number of
//! syncs does not grow with the load.
//!
//! An engine that several servers share may find that another one has changed what a group read. The
//! whole group then runs again, which is why transactions are `Fn`: nothing but the transaction is
//! changed by a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::unix_now;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::CommitFailure;
use crate::telemetry::metrics::StoreMetrics;

use super::Error;
use super::backend::Backend;
use super::backend::PAGE_RECORDS;
use super::backend::StoreChange;
use super::backend::StoreRecord;
use super::read_set::ReadSet;
use super::recent_facts::NamedFact;
use super::recent_facts::RecentFacts;

/// Maximum number of transactions in a group commit. Bounds the latency of each.
const MAX_GROUP: usize = 512;
/// Maximum number of times that a group runs, if others change what it reads.
pub(super) const MAX_RUNS: usize = 8;

/// New value per key; `None` deletes the key.
pub(super) type WriteSet = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Callback that receives true if the changes are on disk.
pub(super) type WriteCallback = Box<dyn FnOnce(bool)>;

/// A transaction's view of the store. Sees its own changes and those of the transactions before it.
pub struct Transaction<'a> {
    backend: &'a dyn Backend,
    /// Changes of earlier transactions in this group, not yet written.
    group: &'a WriteSet,
    /// Records that the transactions of this group have read, with their versions.
    reads: &'a RefCell<ReadSet>,
    /// Changes of this transaction.
    own: WriteSet,
    afterwards: Vec<WriteCallback>,
    pub(super) facts: Vec<NamedFact>,
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
    pub(super) fn new(
        backend: &'a dyn Backend,
        group: &'a WriteSet,
        reads: &'a RefCell<ReadSet>,
    ) -> Self {
        Self {
            backend,
            group,
            reads,
            own: BTreeMap::new(),
            afterwards: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Returns the changes, and what is to be called after their write.
    pub(super) fn into_changes(self) -> (WriteSet, Vec<WriteCallback>) {
        (self.own, self.afterwards)
    }

    /// Returns the value of `key`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.backend.get_tracked(key, &mut self.reads.borrow_mut()),
        }
    }

    /// Returns the first record whose key starts with `prefix`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn first(&self, prefix: &[u8]) -> Result<Option<StoreRecord>, Error> {
        Ok(self.range(prefix, None, 1)?.pop())
    }

    /// Returns all records whose keys start with `prefix`, in key order.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<StoreRecord>, Error> {
        let mut records: Vec<StoreRecord> = Vec::new();
        loop {
            let after = records.last().map(|(key, _)| key.as_slice());
            let page = self.range(prefix, after, PAGE_RECORDS)?;
            let is_last = page.len() < PAGE_RECORDS;
            records.extend(page);
            if is_last {
                return Ok(records);
            }
        }
    }

    /// Returns the first `limit` records whose keys start with `prefix`, in key order; only those
    /// after the key `after`, if there is one. Fewer than `limit` records are the last ones.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StoreRecord>, Error> {
        let mut records = Vec::new();
        let mut after = after.map(<[u8]>::to_vec);
        while records.len() < limit {
            let page = self.backend.range_tracked(
                prefix,
                after.as_deref(),
                limit,
                &mut self.reads.borrow_mut(),
            )?;
            // Changes beyond this page are merged with the page that follows.
            let last = page.records.last().filter(|_| !page.is_last);
            let end = last.map(|(key, _)| key.clone());
            let mut merged: WriteSet = page
                .records
                .into_iter()
                .map(|(key, value)| (key, Some(value)))
                .collect();
            let start = after
                .as_deref()
                .map_or(Bound::Included(prefix), Bound::Excluded);
            // Own changes come last, because they win over those of the group.
            for changes in [self.group, &self.own] {
                let changed = changes
                    .range::<[u8], _>((start, Bound::Unbounded))
                    .take_while(|(key, _)| {
                        key.starts_with(prefix) && end.as_ref().is_none_or(|end| *key <= end)
                    });
                merged.extend(changed.map(|(key, value)| (key.clone(), value.clone())));
            }
            records.extend(
                merged
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?))),
            );
            if end.is_none() {
                break;
            }
            after = end;
        }
        records.truncate(limit);
        Ok(records)
    }

    /// Returns the time that all servers of a shared store agree on, in seconds since 1970; `None` if
    /// each uses its own clock.
    pub fn shared_seconds(&self) -> Option<u64> {
        self.backend.shared_seconds()
    }

    /// Returns true if other servers may use the same records at the same time.
    pub fn is_shared(&self) -> bool {
        self.backend.is_shared()
    }

    /// Returns the present time, in seconds since 1970: that of all servers of a shared store, and else
    /// that of this machine.
    pub fn now(&self) -> u64 {
        self.shared_seconds().unwrap_or_else(unix_now)
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

/// A queued transaction.
pub(super) trait WriteJob: Send {
    /// Runs the transaction, perhaps not for the first time. Returns true if it succeeded, so that
    /// its changes are to be written.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool;

    /// Notifies the caller of the result of the write.
    fn finish(self: Box<Self>, written: Result<(), Error>);
}

/// A transaction with its result and its caller.
pub(super) struct QueuedTransaction<T, U, E, W, C> {
    work: W,
    /// Converts the result of the last run.
    convert: C,
    result: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<U, E>>,
}

impl<T, U, E, W, C> QueuedTransaction<T, U, E, W, C> {
    pub(super) fn new(work: W, convert: C, caller: oneshot::Sender<Result<U, E>>) -> Self {
        Self {
            work,
            convert,
            result: None,
            caller,
        }
    }
}

impl<T, U, E, W, C> WriteJob for QueuedTransaction<T, U, E, W, C>
where
    W: Fn(&mut Transaction<'_>) -> Result<T, E> + Send,
    C: FnOnce(T) -> U + Send,
    T: Send,
    U: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool {
        self.result.insert((self.work)(transaction)).is_ok()
    }

    fn finish(self: Box<Self>, written: Result<(), Error>) {
        let Self {
            work,
            convert,
            result,
            caller,
        } = *self;
        // Locks that the closure holds are released before the caller goes on.
        drop(work);
        let result = result.unwrap_or_else(|| Err(Error::Closed.into()));
        // Converted after a failed write, too: such changes may be on disk nevertheless, and the drop
        // of a guard undoes them.
        let outcome = result.map(convert);
        let outcome = outcome.and_then(|value| written.map(|()| value).map_err(E::from));
        // The receiver is gone if the caller was cancelled.
        drop(caller.send(outcome));
    }
}

/// Runs jobs until all senders are dropped.
pub(super) fn run(
    backend: &dyn Backend,
    jobs: &mpsc::Receiver<Box<dyn WriteJob>>,
    metrics: &StoreMetrics,
) {
    let mut facts = RecentFacts::default();
    while let Some(first) = next_job(backend, jobs) {
        let others = jobs.try_iter().take(MAX_GROUP - 1);
        let mut group: Vec<_> = std::iter::once(first).chain(others).collect();
        while !group.is_empty() {
            group = write_group(backend, group, &mut facts, metrics);
        }
    }
}

/// Waits for a job, and sends the engine's heartbeats meanwhile. Returns `None` once all senders are
/// dropped.
fn next_job(
    backend: &dyn Backend,
    jobs: &mpsc::Receiver<Box<dyn WriteJob>>,
) -> Option<Box<dyn WriteJob>> {
    loop {
        let Some(interval) = backend.heartbeat_interval() else {
            return jobs.recv().ok();
        };
        match jobs.recv_timeout(interval) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Timeout) => backend.send_heartbeat(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// A job that has run.
struct FinishedRun {
    job: Box<dyn WriteJob>,
    afterwards: Vec<WriteCallback>,
    facts: Vec<NamedFact>,
    is_good: bool,
    /// True if it has changes to be written.
    is_writing: bool,
    /// Reason why its changes are not in the group.
    refused: Option<Error>,
}

/// Jobs that have run, whose changes are to be written together.
struct JobGroup {
    finished: Vec<FinishedRun>,
    changes: Vec<StoreChange>,
    /// Jobs that have not run, because the changes are large.
    left: Vec<Box<dyn WriteJob>>,
}

/// Runs a group of jobs, writes their changes with one disk sync, then notifies the callers. Returns
/// the last jobs if the changes of the others are as large as a group may be. If the engine has lost
/// commits, `facts` come first, and the group gets `facts` of its own.
pub(super) fn write_group(
    backend: &dyn Backend,
    mut jobs: Vec<Box<dyn WriteJob>>,
    facts: &mut RecentFacts,
    metrics: &StoreMetrics,
) -> Vec<Box<dyn WriteJob>> {
    let mut runs = 0;
    loop {
        let restored = facts.restore(backend, metrics);
        let reads = RefCell::default();
        let JobGroup {
            mut finished,
            changes,
            left,
        } = run_group(backend, jobs, &reads);
        let reads = reads.into_inner();
        let is_restored = restored.is_ok();
        let written = if !is_restored {
            restored
        } else if changes.is_empty() {
            // What failed, or changes nothing, must not be the result of reads of different moments.
            check_reads(backend, &reads)
        } else {
            let begun = Instant::now();
            let written = backend.commit(&reads, &changes);
            metrics.record_commit(finished.len(), begun.elapsed());
            written
        };
        runs += 1;
        if matches!(written, Err(Error::Conflict)) && runs < MAX_RUNS {
            // Callbacks and results of this run are dropped: only the last run counts.
            let again = finished.into_iter().map(|finished| finished.job);
            jobs = again.chain(left).collect();
            continue;
        }
        if let Err(error) = &written {
            tracing::error!(error = %ErrorChain(error), "store write failed");
        }
        // What is made and not told may be lost, too: its callers rely on it to undo it.
        let is_made = matches!(written, Ok(()) | Err(Error::NotReplicated { .. }));
        if is_restored && is_made {
            let committed = finished
                .iter_mut()
                .filter(|run| run.is_writing && run.refused.is_none());
            facts.add(
                committed.flat_map(|run| std::mem::take(&mut run.facts)),
                metrics,
            );
        }
        notify_callers(finished, &written, metrics);
        return left;
    }
}

/// Checks that what a group without changes has read still holds.
pub(super) fn check_reads(backend: &dyn Backend, reads: &ReadSet) -> Result<(), Error> {
    if reads.is_empty() {
        Ok(())
    } else {
        backend.commit(reads, &[])
    }
}

/// Runs the jobs serially, each on the changes of those before it, until these are as large as a
/// group may be.
fn run_group(
    backend: &dyn Backend,
    jobs: Vec<Box<dyn WriteJob>>,
    reads: &RefCell<ReadSet>,
) -> JobGroup {
    let mut group = BTreeMap::new();
    let mut bytes = 0;
    let mut finished = Vec::new();
    let mut waiting = jobs.into_iter();
    while bytes < backend.max_group_bytes()
        && let Some(mut job) = waiting.next()
    {
        let mut transaction = Transaction::new(backend, &group, reads);
        // A panic drops the job with its sender, so its caller gets `Closed`. The other jobs are
        // unaffected.
        let Ok(is_good) = catch_unwind(AssertUnwindSafe(|| job.run(&mut transaction))) else {
            continue;
        };
        let Transaction {
            own,
            afterwards,
            facts,
            ..
        } = transaction;
        // Space is checked per transaction, so that one that does not fit fails alone.
        let is_writing = is_good && !own.is_empty();
        let refused = if is_writing {
            backend.check_space(&own, bytes).err()
        } else {
            None
        };
        if is_good && refused.is_none() {
            bytes += bytes_of(&own);
            group.extend(own);
        }
        finished.push(FinishedRun {
            job,
            afterwards,
            facts,
            is_good,
            is_writing,
            refused,
        });
    }
    JobGroup {
        finished,
        changes: group.into_iter().collect(),
        left: waiting.collect(),
    }
}

fn notify_callers(finished: Vec<FinishedRun>, group: &Result<(), Error>, metrics: &StoreMetrics) {
    for run in finished {
        let written = run.refused.map_or_else(|| group.clone(), Err);
        if let (true, Err(error)) = (run.is_writing, &written) {
            metrics.count_failed_commit(commit_failure(error));
        }
        let is_made = run.is_good && written.is_ok();
        run.afterwards.into_iter().for_each(|work| work(is_made));
        run.job.finish(written);
    }
}

/// Returns the reason by which metrics count a transaction that fails with `error`.
fn commit_failure(error: &Error) -> CommitFailure {
    match error {
        Error::DiskFull { .. } => CommitFailure::DiskFull,
        Error::Recovering => CommitFailure::Recovering,
        Error::Conflict => CommitFailure::Conflict,
        Error::NotReplicated { .. } => CommitFailure::NotReplicated,
        _ => CommitFailure::Engine,
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

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
