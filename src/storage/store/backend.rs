//! The storage engine behind the store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::RwLock;

use super::Error;
use super::backup::BackupContents;
use super::writer::WriteSet;

/// A write: a key with its new value, or `None` to delete the key.
pub type StoreChange = (Vec<u8>, Option<Vec<u8>>);
/// A key with its value.
pub type StoreRecord = (Vec<u8>, Vec<u8>);

/// A storage engine: an ordered map from keys to values. Reads are concurrent; there is only one
/// writer at a time.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of `key`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Returns the first record after the bound `after` whose key starts with `prefix`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<StoreRecord>, Error>;

    /// Applies `changes` atomically and durably. On return they survive a kill of the process, and
    /// a power loss as far as the disk keeps what it has confirmed.
    ///
    /// # Errors
    /// Fails when the changes cannot be written. They may be found on disk after a restart
    /// nevertheless.
    fn write(&self, changes: &[StoreChange]) -> Result<(), Error>;

    /// Checks that writes are possible now.
    ///
    /// # Errors
    /// The reason why they are not.
    fn check_writable(&self) -> Result<(), Error>;

    /// Checks that the disk has space for `changes`, given `pending` bytes of earlier changes in
    /// the same group.
    ///
    /// # Errors
    /// [`Error::DiskFull`] if it has not.
    fn check_space(&self, _changes: &WriteSet, _pending: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Writes a consistent backup of all records to `folder`. Writes continue meanwhile.
    ///
    /// # Errors
    /// [`Error::NotOnDisk`] for in-memory records; otherwise when a record cannot be read or the
    /// backup cannot be written.
    fn back_up(&self, _folder: &Path) -> Result<BackupContents, Error> {
        Err(Error::NotOnDisk)
    }
}

/// Calls `visit` with every record of `backend`, in key order.
///
/// # Errors
/// Fails when a record cannot be read.
pub(super) fn for_each_record(
    backend: &dyn Backend,
    mut visit: impl FnMut(&[u8], &[u8]),
) -> Result<(), Error> {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let Some((key, value)) = backend.next(&[], after)? else {
            return Ok(());
        };
        visit(&key, &value);
        last = Some(key);
    }
}

/// Backend in memory, for tests and for servers that store nothing on disk.
#[derive(Debug, Default)]
pub struct MemoryBackend(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Backend for MemoryBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<StoreRecord>, Error> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = records.range::<[u8], _>((after, Bound::Unbounded)).next();
        Ok(found
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone())))
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
