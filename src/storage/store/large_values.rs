//! Large values in files beside the database.
//!
//! sled never reclaims the space of large values. A value above [`MAX_INLINE`] is therefore written
//! to a new file, and the database holds a reference to it. A file is on disk before its reference,
//! and is removed after its reference is gone. A crash in between leaves an unreferenced file,
//! which the next start removes.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use uuid::Uuid;

use crate::telemetry::logs::ErrorChain;

use super::Error;
use super::backend::Backend;
use super::backend::RecordPage;
use super::backend::StoreChange;
use super::backend::for_each_record;
use super::backup::ArchiveWriter;
use super::backup::BackupContents;
use super::backup::LARGE_VALUES;
use super::backup::NextRecord;
use super::backup::SnapshotRecords;
use super::backup::link_or_copy;
use super::backup::remove_if_there;
use super::disk_space::FreeSpaceFloor;
use super::store_mark::StoreMark;
use super::store_mark::read_folder_mark;
use super::store_mark::write_mark_file;
use super::writer::WriteSet;
use super::writer::bytes_of;

/// Maximum size of a value stored in the database itself, in bytes.
pub(super) const MAX_INLINE: usize = 4096;
/// Prefix of a reference. A value with the same prefix is stored in a file too, so that references
/// are unambiguous.
const REFERENCE: &[u8] = b"\0large value 1\0";
/// Prefix of the references of all versions.
const ANY_REFERENCE: &[u8] = b"\0large value ";
/// Size of the large values above which a page ends, in bytes.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Maximum number of attempts to follow a reference whose file is removed concurrently.
const MAX_READS: usize = 8;

/// A backend that stores the large values of an inner backend in files.
#[derive(Debug)]
pub(super) struct LargeValues<B> {
    inner: B,
    folder: PathBuf,
    floor: FreeSpaceFloor,
    /// Held while changes are written. Lock order: `writing`, then `frozen`.
    writing: Mutex<()>,
    /// Snapshot of the running backup, if any.
    frozen: Mutex<Option<SnapshotRecords>>,
}

impl<B: Backend> LargeValues<B> {
    /// Opens the backend on top of `inner`, with large values in `folder`, which is created if it
    /// is missing. `floor` limits what may be written.
    ///
    /// # Errors
    /// Fails when the folder cannot be used.
    pub(super) fn open(inner: B, folder: &Path, floor: FreeSpaceFloor) -> Result<Self, Error> {
        fs::create_dir_all(folder)?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self {
            inner,
            folder: folder.to_owned(),
            floor,
            writing: Mutex::default(),
            frozen: Mutex::default(),
        })
    }

    /// Returns the names of the files in the folder, for
    /// [`remove_unreferenced`](Self::remove_unreferenced). Must be called before the first write,
    /// so that new files are not among them.
    ///
    /// # Errors
    /// Fails when the folder cannot be read.
    pub(super) fn list_files(&self) -> Result<HashSet<String>, Error> {
        let mut files = HashSet::new();
        for entry in fs::read_dir(&self.folder)? {
            files.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(files)
    }

    /// Removes the files in `files` that no record references, and returns their number. Removes
    /// nothing unless every record can be read.
    ///
    /// # Errors
    /// Fails when a record cannot be read or a file cannot be removed.
    pub(super) fn remove_unreferenced(&self, mut files: HashSet<String>) -> Result<usize, Error> {
        if files.is_empty() {
            return Ok(0);
        }
        for_each_record(&self.inner, &[], |(_, value)| {
            match referenced_file(&value) {
                Some(name) => _ = files.remove(&name),
                // A later version may refer to files in another way, so none is removed.
                None if value.starts_with(ANY_REFERENCE) => return Err(Error::UnknownReference),
                None => {}
            }
            Ok(())
        })?;
        // Under the write lock: files replaced since a backup began may still be needed by it.
        let _writing = lock(&self.writing);
        if let Some(frozen) = &*lock(&self.frozen) {
            frozen
                .replaced_files
                .iter()
                .for_each(|name| _ = files.remove(name));
        }
        files.iter().try_for_each(|name| self.remove_file(name))?;
        Ok(files.len())
    }

    /// Writes references to files that exist already, without creating files.
    ///
    /// # Errors
    /// Fails when the references cannot be written.
    pub(super) fn write_references(&self, changes: &[StoreChange]) -> Result<(), Error> {
        self.inner.write(changes)
    }

    /// Follows `value` if it is a reference. Returns `None` if the file is gone, which means that
    /// the record has changed since it was read.
    fn resolve(&self, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let Some(name) = referenced_file(&value) else {
            return Ok(Some(value));
        };
        match fs::read(self.folder.join(name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the large values of `changes` to files and replaces them by references.
    fn write_files(&self, changes: &mut [StoreChange]) -> Result<(), Error> {
        let mut names = Vec::new();
        for (_, value) in changes {
            let Some(content) = value.as_mut().filter(|value| is_large(value)) else {
                continue;
            };
            let (name, reference) = new_reference();
            let content = std::mem::replace(content, reference);
            let written = write_file(&self.folder, &name, &content);
            names.push(name);
            if let Err(error) = written {
                self.remove_files(&names);
                return Err(error);
            }
        }
        if !names.is_empty() {
            // A new file name is durable only after a sync of its folder.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Records the old values of `changes` for a running backup, and returns the files they
    /// reference.
    fn record_replaced(&self, changes: &[StoreChange]) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (key, _) in changes {
            let old = self.inner.get(key)?;
            if let Some(frozen) = &mut *lock(&self.frozen) {
                frozen.record_old_value(key, old.as_ref());
            }
            names.extend(old.as_deref().and_then(referenced_file));
        }
        Ok(names)
    }

    /// Removes files without a reference. During a backup, which may still need them, the removal
    /// is deferred to its end.
    fn remove_replaced(&self, names: Vec<String>) {
        match &mut *lock(&self.frozen) {
            Some(frozen) => frozen.replaced_files.extend(names),
            None => self.remove_files(&names),
        }
    }

    /// Writes all records of the snapshot to `folder`.
    fn write_backup(&self, folder: &Path) -> Result<BackupContents, Error> {
        let large = folder.join(LARGE_VALUES);
        fs::create_dir(&large)?;
        let mut archive = ArchiveWriter::create(folder)?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            self.floor.check(0)?;
            // The live record is read before the snapshot is consulted: a record removed in between
            // is found in the snapshot.
            let live = self.inner.range(&[], last.as_deref(), 1)?.records.pop();
            let next = lock(&self.frozen)
                .as_ref()
                .map_or(NextRecord::End, |frozen| frozen.next(last.as_deref(), live));
            match next {
                NextRecord::Found((key, value)) => {
                    let size = referenced_file(&value)
                        .map(|name| self.copy_file(&name, &large))
                        .transpose()?;
                    archive.add(&key, &value, size)?;
                    last = Some(key);
                }
                NextRecord::CreatedLater(key) => last = Some(key),
                NextRecord::End => break,
            }
        }
        File::open(&large)?.sync_all()?;
        archive.finish()
    }

    /// Links or copies the file `name` to `folder`, and returns its size.
    fn copy_file(&self, name: &str, folder: &Path) -> Result<u64, Error> {
        let copy = folder.join(name);
        link_or_copy(&self.folder.join(name), &copy)?;
        Ok(fs::metadata(copy)?.len())
    }

    /// Removes files without a reference. A file that cannot be removed is logged and removed at
    /// the next start.
    fn remove_files(&self, names: &[String]) {
        for name in names {
            if let Err(error) = self.remove_file(name) {
                tracing::warn!(
                    error = %ErrorChain(&error),
                    "large value file not removed"
                );
            }
        }
    }

    fn remove_file(&self, name: &str) -> Result<(), Error> {
        Ok(remove_if_there(&self.folder.join(name))?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the name of a new file, and the reference to it.
pub(super) fn new_reference() -> (String, Vec<u8>) {
    let name = Uuid::now_v7().simple().to_string();
    let reference = [REFERENCE, name.as_bytes()].concat();
    (name, reference)
}

/// Writes the new file `name` to `folder`. It is on disk when this returns, its name once the folder
/// is synced.
///
/// # Errors
/// Fails when it cannot be written.
pub(super) fn write_file(folder: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let mut file = File::create_new(folder.join(name))?;
    file.write_all(content)?;
    Ok(file.sync_all()?)
}

/// Returns true if `value` belongs in a file.
pub(super) fn is_large(value: &[u8]) -> bool {
    value.len() > MAX_INLINE || value.starts_with(REFERENCE)
}

/// Returns the name of the file that `value` references, if it is a reference.
pub(super) fn referenced_file(value: &[u8]) -> Option<String> {
    let name = value.strip_prefix(REFERENCE)?;
    Uuid::try_parse_ascii(name)
        .ok()
        .map(|id| id.simple().to_string())
}

impl<B: Backend> Backend for LargeValues<B> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        for _ in 0..MAX_READS {
            let Some(value) = self.inner.get(key)? else {
                return Ok(None);
            };
            if let Some(value) = self.resolve(value)? {
                return Ok(Some(value));
            }
        }
        Err(Error::MissingFile)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        let mut after = after.map(<[u8]>::to_vec);
        loop {
            let mut page = self.inner.range(prefix, after.as_deref(), limit)?;
            let mut records = Vec::new();
            let mut bytes = 0;
            for (key, value) in page.records {
                if bytes > MAX_PAGE_BYTES {
                    page.is_last = false;
                    break;
                }
                after = Some(key.clone());
                let value = match self.resolve(value)? {
                    Some(value) => Some(value),
                    // The record has changed since it was read.
                    None => self.get(&key)?,
                };
                bytes += value.as_ref().map_or(0, Vec::len);
                records.extend(value.map(|value| (key, value)));
            }
            // All of them may have been removed meanwhile.
            if page.is_last || !records.is_empty() {
                return Ok(RecordPage {
                    records,
                    is_last: page.is_last,
                });
            }
        }
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        let _writing = lock(&self.writing);
        let mut changes = changes.to_vec();
        let replaced = self.record_replaced(&changes)?;
        self.write_files(&mut changes)?;
        // The new files stay on an error: their references may have reached the disk nevertheless.
        // The next start removes them if not.
        self.inner.write(&changes)?;
        self.remove_replaced(replaced);
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.inner.check_writable()
    }

    fn count(&self) -> Result<u64, Error> {
        self.inner.count()
    }

    fn mark(&self) -> Result<Option<StoreMark>, Error> {
        read_folder_mark(self.folder.parent().unwrap_or(&self.folder))
    }

    fn set_mark(&self, mark: Option<&StoreMark>) -> Result<(), Error> {
        write_mark_file(self.folder.parent().unwrap_or(&self.folder), mark)
    }

    fn check_space(&self, changes: &WriteSet, pending: u64) -> Result<(), Error> {
        let removes = changes.values().any(Option::is_none);
        self.floor
            .check_changes(removes, pending + bytes_of(changes))
    }

    fn back_up(&self, folder: &Path) -> Result<BackupContents, Error> {
        {
            // Point in time of the backup: between two writes.
            let _writing = lock(&self.writing);
            *lock(&self.frozen) = Some(SnapshotRecords::default());
        }
        let written = self.write_backup(folder);
        let frozen = lock(&self.frozen).take();
        self.remove_files(&frozen.unwrap_or_default().replaced_files);
        written
    }
}

#[cfg(test)]
#[path = "large_values_tests.rs"]
mod tests;
