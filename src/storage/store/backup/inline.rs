//! Backups of engines that keep large values among the others, and restores into them.

use std::fs;
use std::fs::File;
use std::path::Path;

use super::archive::ArchiveReader;
use super::archive::ArchiveWriter;
use super::archive::BackupContents;
use super::archive::ByteProgress;
use super::archive::LARGE_VALUES;
use crate::storage::store::Backend;
use crate::storage::store::Error;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::backend::StoreRecord;
use crate::storage::store::large_values::is_large;
use crate::storage::store::large_values::new_reference;
use crate::storage::store::large_values::referenced_file;
use crate::storage::store::large_values::write_file;

/// Free space that a backup leaves on its disk, in bytes. The disk has what servers write while Redis is away,
/// too.
const MIN_FREE_BYTES: u64 = 64 << 20;

/// Writes all records of `backend` to `folder`, as of one moment. Large values get files there.
///
/// # Errors
/// Fails when a record cannot be read, the backup cannot be written, or its disk is almost full.
pub(in crate::storage::store) fn write_inline_backup(
    backend: &dyn Backend,
    folder: &Path,
) -> Result<BackupContents, Error> {
    write_above(
        backend,
        folder,
        &FreeSpaceFloor::new(folder, MIN_FREE_BYTES),
    )
}

fn write_above(
    backend: &dyn Backend,
    folder: &Path,
    floor: &FreeSpaceFloor,
) -> Result<BackupContents, Error> {
    let large = folder.join(LARGE_VALUES);
    fs::create_dir(&large)?;
    let mut archive = ArchiveWriter::create(folder)?;
    backend.visit_snapshot(&mut |(key, value)| {
        floor.check(value.len() as u64)?;
        if !is_large(&value) {
            return archive.add(&key, &value, None);
        }
        let (name, reference) = new_reference();
        write_file(&large, &name, &value)?;
        archive.add(&key, &reference, Some(value.len() as u64))
    })?;
    File::open(&large)?.sync_all()?;
    archive.finish()
}

/// Calls `visit` with each record of the backup in `folder`, large values included. Reports the bytes of
/// records that were read.
///
/// # Errors
/// Fails when the backup is damaged or cannot be read, or `visit` fails.
pub(in crate::storage::store) fn visit_backup(
    folder: &Path,
    progress: ByteProgress<'_>,
    visit: &mut dyn FnMut(StoreRecord) -> Result<(), Error>,
) -> Result<BackupContents, Error> {
    let mut reader = ArchiveReader::open(folder)?;
    let total = reader.total_bytes();
    while let Some((key, value)) = reader.next()? {
        let value = match referenced_file(&value) {
            Some(name) => fs::read(folder.join(LARGE_VALUES).join(name))?,
            None => value,
        };
        visit((key, value))?;
        if let Some(done) = reader.due_report() {
            progress(done, total);
        }
    }
    Ok(reader.contents())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::MemoryBackend;

    #[test]
    fn backup_leaves_space_on_its_disk() {
        let backend = MemoryBackend::default();
        let record = (b"t\0a".to_vec(), Some(b"1".to_vec()));
        backend.write(&[record]).unwrap();
        let data = tempfile::tempdir().unwrap();
        let floor = FreeSpaceFloor::new(data.path(), u64::MAX);
        let refused = write_above(&backend, data.path(), &floor).unwrap_err();
        assert!(matches!(refused, Error::DiskFull { .. }), "{refused:?}");
    }
}
