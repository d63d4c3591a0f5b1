//! Where records lie.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::RwLock;

use super::Error;
use super::backup::BackupContents;
use super::writer::Changes;

/// The value a key gets, or none where the key goes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);
/// A key with its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// An ordered map from keys to values. Many may read; one at a time writes.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// The first record with a key after `after` that starts with `prefix`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error>;

    /// Makes all of `changes` or none of them. What is written has left this process when this returns: it survives a
    /// kill, and the loss of power as far as the disk keeps what it has confirmed.
    ///
    /// # Errors
    /// When they are not made.
    fn write(&self, changes: &[Change]) -> Result<(), Error>;

    /// Whether changes can be written now.
    ///
    /// # Errors
    /// With the reason why they cannot.
    fn check_writable(&self) -> Result<(), Error>;

    /// Checks that the disk has space for `changes` on top of `pending` bytes of the same group.
    ///
    /// # Errors
    /// [`Error::DiskFull`] where there is not.
    fn check_space(&self, _changes: &Changes, _pending: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Writes a backup of all records as they are at one moment to `folder`, while others are written.
    ///
    /// # Errors
    /// When a record cannot be read, the backup cannot be written, or there is nothing on disk.
    fn back_up(&self, _folder: &Path) -> Result<BackupContents, Error> {
        Err(Error::NotOnDisk)
    }
}

/// Hands every record of `backend` to `visit`, in the order of their keys.
///
/// # Errors
/// When one cannot be read.
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

/// Records in memory, for tests and for servers that are to leave nothing behind.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Backend for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = records.range::<[u8], _>((after, Bound::Unbounded)).next();
        Ok(found
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone())))
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
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
