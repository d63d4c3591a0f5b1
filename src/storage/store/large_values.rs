//! Large values, each in a file of its own beside the database.
//!
//! sled is good at small records: space of large ones is never given back. So a value above [`MAX_INLINE`] is written to a
//! new file, and the database keeps a reference to it. A file is on disk before its reference is, and is removed after its
//! reference is gone; a crash in between leaves a file without a reference, which the next start removes.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::ops::Bound;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use uuid::Uuid;

use super::Error;
use super::backend::Backend;
use super::backend::Change;
use super::backend::Record;
use super::backend::for_each_record;
use super::backup::ArchiveWriter;
use super::backup::BackupContents;
use super::backup::FrozenRecords;
use super::backup::LARGE_VALUES;
use super::backup::NextRecord;
use super::backup::link_or_copy;
use super::backup::remove_if_there;
use super::disk_space::FreeSpaceFloor;
use super::writer::Changes;
use super::writer::bytes_of;

/// The most bytes of a value that stands in the database itself.
pub(super) const MAX_INLINE: usize = 4096;
/// The beginning of a reference. A value that begins so as well is kept in a file, so the two cannot be confused.
const REFERENCE: &[u8] = b"\0large value 1\0";
/// How often a reference is followed again whose file was removed meanwhile.
const MAX_READS: usize = 8;

/// Records of an inner database, with large values in files.
#[derive(Debug)]
pub(super) struct LargeValues<B> {
    inner: B,
    folder: PathBuf,
    floor: FreeSpaceFloor,
    /// Held while changes are written. Lock order: `writing`, then `frozen`.
    writing: Mutex<()>,
    /// The records that a backup reads, while one is made.
    frozen: Mutex<Option<FrozenRecords>>,
}

impl<B: Backend> LargeValues<B> {
    /// Records of `inner`, with large values in `folder`, which is made where it is missing. Nothing is written that would
    /// leave less than `floor`.
    ///
    /// # Errors
    /// When the folder cannot be used.
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

    /// The files that are there now, for [`remove_unreferenced`](Self::remove_unreferenced). Files that are made later are
    /// not among them, so this must be called before anything is written.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn files(&self) -> Result<HashSet<String>, Error> {
        let mut files = HashSet::new();
        for entry in fs::read_dir(&self.folder)? {
            files.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(files)
    }

    /// Removes those of `files` to which no record refers, and returns how many. Nothing is removed unless every record can
    /// be read.
    ///
    /// # Errors
    /// When a record cannot be read or a file cannot be removed.
    pub(super) fn remove_unreferenced(&self, mut files: HashSet<String>) -> Result<usize, Error> {
        if files.is_empty() {
            return Ok(0);
        }
        for_each_record(&self.inner, |_, value| {
            if let Some(name) = referenced_file(value) {
                files.remove(&name);
            }
        })?;
        // Between two writes, so that what was replaced since a backup began is known to it, which may still need it.
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

    /// Writes references as they are, to files that are there.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn write_references(&self, changes: &[Change]) -> Result<(), Error> {
        self.inner.write(changes)
    }

    /// Follows `value` if it is a reference. None where its file is gone, so the record has changed since it was read.
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

    /// Writes large values of `changes` to files and puts references in their places.
    fn write_files(&self, changes: &mut [Change]) -> Result<(), Error> {
        let mut names = Vec::new();
        for (_, value) in changes {
            let Some(content) = value.as_mut().filter(|value| is_large(value)) else {
                continue;
            };
            let name = Uuid::now_v7().simple().to_string();
            let content = std::mem::replace(content, [REFERENCE, name.as_bytes()].concat());
            let written = self.write_file(&name, &content);
            names.push(name);
            if let Err(error) = written {
                self.remove_files(&names);
                return Err(error);
            }
        }
        if !names.is_empty() {
            // A name is on disk when its folder is.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    fn write_file(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let mut file = File::create_new(self.folder.join(name))?;
        file.write_all(content)?;
        Ok(file.sync_all()?)
    }

    /// Notes the values that `changes` replace for a backup, and returns the files to which they refer.
    fn note_replaced(&self, changes: &[Change]) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (key, _) in changes {
            let old = self.inner.get(key)?;
            if let Some(frozen) = &mut *lock(&self.frozen) {
                frozen.note(key, old.as_ref());
            }
            names.extend(old.as_deref().and_then(referenced_file));
        }
        Ok(names)
    }

    /// Removes files that nothing refers to any more, or leaves that to the end of a backup, which may still need them.
    fn remove_replaced(&self, names: Vec<String>) {
        match &mut *lock(&self.frozen) {
            Some(frozen) => frozen.replaced_files.extend(names),
            None => self.remove_files(&names),
        }
    }

    /// Writes all records of a backup to `folder`.
    fn write_backup(&self, folder: &Path) -> Result<BackupContents, Error> {
        let large = folder.join(LARGE_VALUES);
        fs::create_dir(&large)?;
        let mut archive = ArchiveWriter::create(folder)?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            self.floor.check(0)?;
            let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let live = self.inner.next(&[], after)?;
            let next = lock(&self.frozen)
                .as_ref()
                .map_or(NextRecord::End, |frozen| frozen.next(after, live));
            match next {
                NextRecord::Found((key, value)) => {
                    let size = referenced_file(&value)
                        .map(|name| self.copy_file(&name, &large))
                        .transpose()?;
                    archive.add(&key, &value, size)?;
                    last = Some(key);
                }
                NextRecord::NotThereYet(key) => last = Some(key),
                NextRecord::End => break,
            }
        }
        File::open(&large)?.sync_all()?;
        archive.finish()
    }

    /// Copies the file `name` to the folder of a backup, and returns its size.
    fn copy_file(&self, name: &str, folder: &Path) -> Result<u64, Error> {
        let copy = folder.join(name);
        link_or_copy(&self.folder.join(name), &copy)?;
        Ok(fs::metadata(copy)?.len())
    }

    /// Removes files that nothing refers to. One that stays is removed at the next start.
    fn remove_files(&self, names: &[String]) {
        for name in names {
            if let Err(error) = self.remove_file(name) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a file of the store was not removed"
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

/// Whether `value` is kept in a file.
fn is_large(value: &[u8]) -> bool {
    value.len() > MAX_INLINE || value.starts_with(REFERENCE)
}

/// The name of the file that `value` refers to, if it is a reference.
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

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        for _ in 0..MAX_READS {
            let Some((key, value)) = self.inner.next(prefix, after)? else {
                return Ok(None);
            };
            if let Some(value) = self.resolve(value)? {
                return Ok(Some((key, value)));
            }
        }
        Err(Error::MissingFile)
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
        let _writing = lock(&self.writing);
        let mut changes = changes.to_vec();
        let replaced = self.note_replaced(&changes)?;
        self.write_files(&mut changes)?;
        // New files stay where this fails: their references may have reached the disk all the same. The next start knows.
        self.inner.write(&changes)?;
        self.remove_replaced(replaced);
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.inner.check_writable()
    }

    fn check_space(&self, changes: &Changes, pending: u64) -> Result<(), Error> {
        let removes = changes.values().any(Option::is_none);
        self.floor
            .check_changes(removes, pending + bytes_of(changes))
    }

    fn back_up(&self, folder: &Path) -> Result<BackupContents, Error> {
        {
            // The moment of the backup: between two writes.
            let _writing = lock(&self.writing);
            *lock(&self.frozen) = Some(FrozenRecords::default());
        }
        let written = self.write_backup(folder);
        let frozen = lock(&self.frozen).take();
        self.remove_files(&frozen.unwrap_or_default().replaced_files);
        written
    }
}
