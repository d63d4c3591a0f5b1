//! Backends with fault injection.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::Backend;
use super::Error;
use super::MemoryBackend;
use super::RecordPage;
use super::StoreChange;
use super::StoreRecord;
use super::Stored;
use super::decode_record;
use super::encode_record;
use super::read_set::ReadSet;
use super::writer::WriteSet;
use super::writer::bytes_of;

/// Maximum size of a group that [`FaultyBackend`] accepts, in bytes.
pub(crate) const FREE_SPACE_BYTES: u64 = 1 << 20;

/// Backend in memory that can reject writes.
#[derive(Debug, Default)]
pub(crate) struct FaultyBackend {
    memory: MemoryBackend,
    is_full: AtomicBool,
    writes: AtomicUsize,
    refusals: AtomicUsize,
}

impl FaultyBackend {
    /// Makes writes fail with a full disk, or succeed again.
    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Number of writes so far.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// Number of times that the disk was found full.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }
}

impl Backend for FaultyBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        self.memory.range(prefix, after, limit)
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        self.check_writable()?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.memory.write(changes)
    }

    fn check_writable(&self) -> Result<(), Error> {
        let is_full = self.is_full.load(Ordering::Relaxed);
        if is_full {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            Err(Error::DiskFull {
                free_mib: 0,
                needed_mib: 1,
            })
        } else {
            Ok(())
        }
    }

    fn check_space(&self, changes: &WriteSet, pending: u64) -> Result<(), Error> {
        if pending + bytes_of(changes) > FREE_SPACE_BYTES {
            Err(Error::DiskFull {
                free_mib: 1,
                needed_mib: 2,
            })
        } else {
            Ok(())
        }
    }
}

/// Backend in memory that other servers use, too.
#[derive(Debug, Default)]
pub(crate) struct SharedBackend {
    memory: MemoryBackend,
    /// Changes that others make, each just before a write of this server.
    conflicts: Mutex<VecDeque<StoreChange>>,
    /// Number of lost commits that the writer is not told of yet.
    loss: Mutex<Option<u64>>,
    is_without_replicas: AtomicBool,
    is_away: AtomicBool,
}

impl SharedBackend {
    /// Makes reads of single records fail from now on.
    pub(crate) fn go_away(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }

    /// Lets another server make `change` before the next write, which then conflicts with it.
    pub(crate) fn add_conflict(&self, change: StoreChange) {
        self.conflicts.lock().unwrap().push_back(change);
    }

    /// Makes writes end without the confirmation of replicas, or with it again.
    pub(crate) fn miss_replicas(&self, is_without: bool) {
        self.is_without_replicas
            .store(is_without, Ordering::Relaxed);
    }

    /// Returns all records.
    pub(crate) fn records(&self) -> Vec<StoreRecord> {
        self.memory.range(b"", None, usize::MAX).unwrap().records
    }

    /// Loses all that was written since there were `records` alone.
    pub(crate) fn lose_all_but(&self, records: Vec<StoreRecord>) {
        let removed = self.records().into_iter().map(|(key, _)| (key, None));
        let kept = records.into_iter().map(|(key, value)| (key, Some(value)));
        let changes: Vec<StoreChange> = removed.chain(kept).collect();
        self.memory.write(&changes).unwrap();
        *self.loss.lock().unwrap() = Some(1);
    }
}

impl Backend for SharedBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        self.memory.get(key)
    }

    fn get_tracked(&self, key: &[u8], reads: &mut ReadSet) -> Result<Option<Vec<u8>>, Error> {
        if self.is_without_replicas.load(Ordering::Relaxed) {
            // A group without changes is confirmed too, if it has read something.
            reads.add_record(key, b"", false);
        }
        self.get(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        self.memory.range(prefix, after, limit)
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        if let Some(change) = self.conflicts.lock().unwrap().pop_front() {
            self.memory.write(&[change])?;
            return Err(Error::Conflict);
        }
        self.memory.write(changes)?;
        if self.is_without_replicas.load(Ordering::Relaxed) {
            return Err(Error::NotReplicated {
                wanted: 1,
                confirmed: 0,
            });
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn take_loss(&self) -> Option<u64> {
        self.loss.lock().unwrap().take()
    }
}

/// Backend in memory that can block writes.
#[derive(Debug, Default)]
pub(crate) struct BlockingBackend {
    inner: FaultyBackend,
    is_closed: Mutex<bool>,
    opened: Condvar,
    is_blocking: AtomicBool,
}

impl BlockingBackend {
    /// Blocks writes from now on.
    pub(crate) fn close(&self) {
        *self.is_closed.lock().unwrap() = true;
    }

    /// Unblocks writes, including waiting ones.
    pub(crate) fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// True if a write waits.
    pub(crate) fn is_blocking(&self) -> bool {
        self.is_blocking.load(Ordering::Relaxed)
    }
}

impl Backend for BlockingBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        self.inner.range(prefix, after, limit)
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        let is_closed = self.is_closed.lock().unwrap();
        self.is_blocking.store(*is_closed, Ordering::Relaxed);
        drop(
            self.opened
                .wait_while(is_closed, |is_closed| *is_closed)
                .unwrap(),
        );
        self.is_blocking.store(false, Ordering::Relaxed);
        self.inner.write(changes)
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.inner.check_writable()
    }

    fn check_space(&self, changes: &WriteSet, pending: u64) -> Result<(), Error> {
        self.inner.check_space(changes, pending)
    }
}

/// Decodes `earlier`, a record as an earlier version wrote it, asserts that it is written with the
/// current version and reads back equal, and returns its value.
#[track_caller]
pub(crate) fn read_earlier_record<T: Stored>(earlier: &[u8]) -> T {
    let value: T = decode_record("earlier", earlier).unwrap();
    let bytes = encode_record(&value).unwrap();
    assert_eq!(bytes[0], T::VERSION);
    let again: T = decode_record("again", &bytes).unwrap();
    assert_eq!(encode_record(&again).unwrap(), bytes);
    value
}
