//! The one who writes.
//!
//! Transactions are closures. One thread runs them one after the other, so nothing they read changes under them; what a
//! group of them has changed is written at once, and only then is anybody told. So a wait for the disk is shared by all
//! who wait, and a server that is busy writes no more often than one that is not.

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
use super::backend::Change;
use super::backend::Record;

/// Transactions that are written at once, at most: it bounds what one of them waits for.
const GROUP: usize = 512;

/// The value that each key gets, or none where the key goes.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What is to be done once it is known whether the changes were made.
type Afterwards = Box<dyn FnOnce(bool)>;

/// What a transaction sees and changes.
pub struct Transaction<'a> {
    backend: &'a dyn Backend,
    /// What this group has changed and not written yet.
    group: &'a Changes,
    /// What this transaction has changed.
    own: Changes,
    afterwards: Vec<Afterwards>,
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
    /// One that sees `backend` with the changes of `group`.
    pub(super) fn over(backend: &'a dyn Backend, group: &'a Changes) -> Self {
        Self {
            backend,
            group,
            own: BTreeMap::new(),
            afterwards: Vec::new(),
        }
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.backend.get(key),
        }
    }

    /// The first record whose key starts with `prefix`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn first(&self, prefix: &[u8]) -> Result<Option<Record>, Error> {
        self.next(prefix, Bound::Included(prefix))
    }

    /// The first record with a key after `after` that starts with `prefix`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Record>, Error> {
        self.next(prefix, Bound::Excluded(after))
    }

    /// All records whose keys start with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, Error> {
        let (mut records, mut next) = (Vec::new(), self.first(prefix)?);
        while let Some(record) = next {
            next = self.after(prefix, &record.0)?;
            records.push(record);
        }
        Ok(records)
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
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

    /// Gives `key` the value `value`.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.own.insert(key, Some(value));
    }

    /// Takes `key` away.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.own.insert(key, None);
    }

    /// Has `work` told whether the changes are on disk, as soon as that is known and before whoever waits for it; also
    /// when nobody does. It runs on the thread that writes, so it must be short.
    pub fn afterwards(&mut self, work: impl FnOnce(bool) + 'static) {
        self.afterwards.push(Box::new(work));
    }
}

/// A transaction that waits for its turn: it runs, and gives what is to be said to whoever waits for it.
pub(super) type Job = Box<dyn FnOnce(&mut Transaction<'_>) -> Outcome + Send>;

/// What became of a transaction.
pub(super) struct Outcome {
    /// Whether its changes are to be made.
    pub(super) is_good: bool,
    /// Tells whoever waits, once they are made or cannot be.
    pub(super) tell: Box<dyn FnOnce(Result<(), Error>)>,
}

/// Runs jobs until nobody can send any.
pub(super) fn run(backend: &dyn Backend, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        write(
            backend,
            std::iter::once(first).chain(jobs.try_iter().take(GROUP - 1)),
        );
    }
}

/// Runs a group of jobs, writes what they have changed, and tells whoever waits.
fn write(backend: &dyn Backend, jobs: impl Iterator<Item = Job>) {
    let mut group = BTreeMap::new();
    let mut bytes = 0;
    let mut waiting = Vec::new();
    for job in jobs {
        let mut transaction = Transaction::over(backend, &group);
        // One that panics tells nobody; whoever waits sees that it is gone.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| job(&mut transaction))) else {
            continue;
        };
        let Transaction {
            own, afterwards, ..
        } = transaction;
        // Asked for each by itself: one that does not fit the disk must not take the others of its group along.
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
    let changes: Vec<Change> = group.into_iter().collect();
    let written = if changes.is_empty() {
        Ok(())
    } else {
        backend.write(&changes)
    };
    if let Err(error) = &written {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the store cannot be written"
        );
    }
    for (outcome, afterwards, refused) in waiting {
        let written = refused.map_or_else(|| written.clone(), Err);
        let is_made = outcome.is_good && written.is_ok();
        afterwards.into_iter().for_each(|work| work(is_made));
        (outcome.tell)(written);
    }
}

/// The bytes of the new values of `changes`.
pub(super) fn bytes_of(changes: &Changes) -> u64 {
    changes
        .values()
        .flatten()
        .map(|value| value.len() as u64)
        .sum()
}

/// Jobs that are done at once by whoever brings them: where there is no disk, nobody has to wait.
#[derive(Default)]
pub(super) struct AtOnce {
    waiting: VecDeque<Job>,
    is_busy: bool,
}

impl AtOnce {
    /// Does `job`. One that a job brings is done after it, and one of another thread by the thread that is at it.
    pub(super) fn take(this: &Mutex<Self>, backend: &dyn Backend, job: Job) {
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
            write(backend, std::iter::once(job));
        }
    }
}
