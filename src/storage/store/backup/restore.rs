//! Restores a store from a backup.

use std::fs;
use std::fs::File;
use std::path::Path;

use super::archive::ArchiveReader;
use super::archive::BackupContents;
use super::archive::ByteProgress;
use super::archive::LARGE_VALUES;
use super::archive::verify_backup;
use super::files::link_or_copy;
use crate::storage::store::Error;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::backend::Backend as _;
use crate::storage::store::backend::StoreChange;
use crate::storage::store::large_values::LargeValues;
use crate::storage::store::large_values::referenced_file;
use crate::storage::store::sled_database::SledDatabase;

/// Maximum number of records per write.
const MAX_WRITE_GROUP: usize = 1000;

/// Restores `backup` to `folder`, which must not exist. Nothing is created unless the backup
/// verifies. The store is on disk when this returns.
///
/// Reports the bytes of records that were read, each of which is read twice.
///
/// # Errors
/// Fails when the backup is damaged, or something cannot be read or written.
pub fn restore_backup(
    backup: &Path,
    folder: &Path,
    progress: ByteProgress<'_>,
) -> Result<BackupContents, Error> {
    let expected = verify_backup(backup, &mut |done, total| progress(done, 2 * total))?;
    fs::create_dir_all(folder.parent().unwrap_or(Path::new(".")))?;
    fs::create_dir(folder)?;
    let large = folder.join(LARGE_VALUES);
    fs::create_dir(&large)?;
    let floor = FreeSpaceFloor::new(folder, 0);
    let values = LargeValues::open(SledDatabase::open(folder, floor.clone())?, &large, floor)?;
    let mut reader = ArchiveReader::open(backup)?;
    let total = reader.total_bytes();
    let (mut group, mut references): (Vec<StoreChange>, Vec<StoreChange>) = Default::default();
    while let Some((key, value)) = reader.next()? {
        match referenced_file(&value) {
            Some(name) => {
                link_or_copy(&backup.join(LARGE_VALUES).join(&name), &large.join(&name))?;
                references.push((key, Some(value)));
            }
            // An earlier version kept large values in the database. They get files here.
            None => group.push((key, Some(value))),
        }
        if group.len() + references.len() == MAX_WRITE_GROUP {
            values.write(&std::mem::take(&mut group))?;
            values.write_references(&std::mem::take(&mut references))?;
        }
        if let Some(done) = reader.due_report() {
            progress(total + done, 2 * total);
        }
    }
    values.write(&group)?;
    File::open(&large)?.sync_all()?;
    values.write_references(&references)?;
    debug_assert_eq!(reader.contents(), expected);
    Ok(reader.contents())
}
