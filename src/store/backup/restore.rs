//! Makes a store of a backup.

use std::fs;
use std::fs::File;
use std::path::Path;

use super::archive::ArchiveReader;
use super::archive::BackupContents;
use super::archive::LARGE_VALUES;
use super::archive::verify_backup;
use super::files::link_or_copy;
use crate::store::Error;
use crate::store::FreeSpaceFloor;
use crate::store::backend::Backend as _;
use crate::store::backend::Change;
use crate::store::large_values::referenced_file;
use crate::store::sled_database::SledDatabase;

/// Records that are written at once.
const GROUP: usize = 1000;

/// Makes a store of `backup` in `folder`, which must not be there yet. Nothing is made unless the backup is whole. The store is on
/// disk when this returns.
///
/// # Errors
/// When the backup is damaged, or something cannot be read or written.
pub fn restore_backup(backup: &Path, folder: &Path) -> Result<BackupContents, Error> {
    let expected = verify_backup(backup)?;
    fs::create_dir_all(folder.parent().unwrap_or(Path::new(".")))?;
    fs::create_dir(folder)?;
    let large = folder.join(LARGE_VALUES);
    fs::create_dir(&large)?;
    let database = SledDatabase::open(folder, FreeSpaceFloor::new(folder, 0))?;
    let mut reader = ArchiveReader::open(backup)?;
    let mut group: Vec<Change> = Vec::new();
    while let Some((key, value)) = reader.next()? {
        if let Some(name) = referenced_file(&value) {
            link_or_copy(&backup.join(LARGE_VALUES).join(&name), &large.join(&name))?;
        }
        group.push((key, Some(value)));
        if group.len() == GROUP {
            database.write(&std::mem::take(&mut group))?;
        }
    }
    database.write(&group)?;
    File::open(&large)?.sync_all()?;
    debug_assert_eq!(reader.contents(), expected);
    Ok(reader.contents())
}
