//! The storage engine behind the store.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::backup::BackupContents;
use super::read_set::ReadSet;
use super::redis_database::RedisScript;
use super::store_mark::StoreMark;
use super::writer::WriteSet;

/// A write: a key with its new value, or `None` to delete the key.
pub type StoreChange = (Vec<u8>, Option<Vec<u8>>);
/// A key with its value.
pub type StoreRecord = (Vec<u8>, Vec<u8>);

/// Consecutive records of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    /// Records in key order. Empty only in the last page.
    pub records: Vec<StoreRecord>,
    /// True if the range has no records after these.
    pub is_last: bool,
}

/// Number of records that are read at a time where all are wanted.
pub(super) const PAGE_RECORDS: usize = 256;

/// A storage engine: an ordered map from keys to values. Reads are concurrent; there is only one
/// writer at a time in this process.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of `key`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Returns the first records whose keys start with `prefix`; only those after the key `after`,
    /// if there is one. Returns at most `limit`, which is not 0, and fewer where they are large.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    fn range(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize)
    -> Result<RecordPage, Error>;

    /// Returns the values of `keys`, in their order; concurrent writes may or may not be included.
    ///
    /// # Errors
    /// Fails when one cannot be read.
    fn get_all(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Returns the value of `key` as [`get`](Self::get) does, for a transaction. An engine that is
    /// shared notes in `reads` what it has read. Called by the writer alone.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn get_tracked(&self, key: &[u8], _reads: &mut ReadSet) -> Result<Option<Vec<u8>>, Error> {
        self.get(key)
    }

    /// Returns records as [`range`](Self::range) does, for a transaction. An engine that is shared
    /// notes in `reads` what it has read. Called by the writer alone.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    fn range_tracked(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        _reads: &mut ReadSet,
    ) -> Result<RecordPage, Error> {
        self.range(prefix, after, limit)
    }

    /// Applies `changes` atomically and durably. On return they survive a kill of the process, and
    /// a power loss as far as the disk keeps what it has confirmed.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another server has changed what was read for them; nothing is
    /// written then, and the transactions run again. Otherwise fails when the changes cannot be
    /// written; they may be found after a restart nevertheless.
    fn write(&self, changes: &[StoreChange]) -> Result<(), Error>;

    /// Writes `changes` as [`write`](Self::write) does, if all of `reads` still holds. Without
    /// changes it only checks `reads`. Called by the writer alone.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn commit(&self, _reads: &ReadSet, changes: &[StoreChange]) -> Result<(), Error> {
        self.write(changes)
    }

    /// Checks that writes are possible now.
    ///
    /// # Errors
    /// The reason why they are not.
    fn check_writable(&self) -> Result<(), Error>;

    /// Returns true if other servers may use the same records at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Size of the changes after which a group of transactions is written, in bytes. The rest of the
    /// group follows in another one.
    fn max_group_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Interval at which an idle writer calls [`send_heartbeat`](Self::send_heartbeat); `None` if
    /// the engine needs none.
    fn heartbeat_interval(&self) -> Option<Duration> {
        None
    }

    /// Tells the other servers that this one lives. Called by the writer alone.
    fn send_heartbeat(&self) {}

    /// Returns the time that all servers of a shared store agree on, in seconds since 1970; `None` if
    /// each uses its own clock. Called by the writer alone.
    fn shared_seconds(&self) -> Option<u64> {
        None
    }

    /// Returns the number of commits that were told as made and are known to be lost, if some may be,
    /// once for each loss: what is remembered of them is to be applied again. Called by the writer
    /// alone.
    fn take_loss(&self) -> Option<u64> {
        None
    }

    /// Runs `script` in one step for all servers, on state that is no record. The prefix of the
    /// engine comes before the names `keys`. May run twice if its first answer is lost.
    ///
    /// # Errors
    /// Fails when the engine is not shared, or the script does not return numbers alone.
    fn run_script(
        &self,
        _script: &'static RedisScript,
        _keys: &[String],
        _arguments: Vec<Vec<u8>>,
    ) -> Result<Vec<i64>, Error> {
        Err(Error::Unsuitable {
            reason: "the store is not shared, so it runs no scripts".to_owned(),
            hint: "set store.backend to \"redis\"",
        })
    }

    /// Checks that the disk has space for `changes`, given `pending` bytes of earlier changes in
    /// the same group.
    ///
    /// # Errors
    /// [`Error::DiskFull`] if it has not.
    fn check_space(&self, _changes: &WriteSet, _pending: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Calls `visit` with each record as of one moment, in no particular order. Other servers may write
    /// meanwhile; this one may not, unless the engine is shared. Returns the number of commits since that
    /// moment.
    ///
    /// # Errors
    /// Fails when a record cannot be read, or `visit` fails.
    fn visit_snapshot(
        &self,
        visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let read_page = |after: Option<&[u8]>| self.range(&[], after, PAGE_RECORDS);
        visit_pages(read_page, visit).map(|()| 0)
    }

    /// Returns the number of records.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    fn count(&self) -> Result<u64, Error> {
        let mut records = 0;
        let read_page = |after: Option<&[u8]>| self.range(&[], after, PAGE_RECORDS);
        visit_pages(read_page, |_| {
            records += 1;
            Ok(())
        })?;
        Ok(records)
    }

    /// Returns the number of commits of all servers so far; 0 if no other server may use the records.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn count_commits(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Returns the mark because of which no server may start on the records, if there is one.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn mark(&self) -> Result<Option<StoreMark>, Error> {
        Ok(None)
    }

    /// Puts a mark on the records, or removes it. Servers that were cut off from marked records are refused
    /// when they come back.
    ///
    /// # Errors
    /// [`Error::NotOnDisk`] for records that end with the process; otherwise when it cannot be written.
    fn set_mark(&self, _mark: Option<&StoreMark>) -> Result<(), Error> {
        Err(Error::NotOnDisk)
    }

    /// Writes a consistent backup of all records to `folder`. Writes continue meanwhile.
    ///
    /// # Errors
    /// [`Error::NotOnDisk`] for records that are not on this disk; otherwise when a record cannot be
    /// read or the backup cannot be written.
    fn back_up(&self, _folder: &Path) -> Result<BackupContents, Error> {
        Err(Error::NotOnDisk)
    }
}

/// Calls `visit` with every record of `backend` whose key starts with `prefix`, in key order.
///
/// # Errors
/// Fails when a record cannot be read, or `visit` fails.
pub(super) fn for_each_record(
    backend: &dyn Backend,
    prefix: &[u8],
    visit: impl FnMut(StoreRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    let read_page = |after: Option<&[u8]>| backend.range(prefix, after, PAGE_RECORDS);
    visit_pages(read_page, visit)
}

/// Calls `visit` with every record of the pages that `read_page` returns, each of which comes after the
/// last key of the one before.
fn visit_pages(
    read_page: impl Fn(Option<&[u8]>) -> Result<RecordPage, Error>,
    mut visit: impl FnMut(StoreRecord) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let RecordPage { records, is_last } = read_page(after.as_deref())?;
        after = records.last().map(|(key, _)| key.clone());
        records.into_iter().try_for_each(&mut visit)?;
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
