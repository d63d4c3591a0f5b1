//! Restores a ledger or a whole store, and repairs a damaged store. No server may run meanwhile,
//! since it would overwrite the result.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::fs::CWD;
use rustix::fs::RenameFlags;
use rustix::fs::renameat_with;

use tokio_util::task::TaskTracker;

use super::AdminClientError;
use super::records;
use super::shared_restore::restore_shared_store;
use crate::accounts::ledger;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::ledger::Restored;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::DataDir;
use crate::storage::store;
use crate::storage::store::BackupContents;
use crate::storage::store::ByteProgress;
use crate::storage::store::StoreEngine;

/// Imports the exported ledger `text` into the data directory of `settings`. An existing ledger is
/// replaced only if `may_replace` is set.
///
/// # Errors
/// Fails when a server runs, the records cannot be used, or the export is not valid.
pub async fn restore_ledger(
    settings: &Settings,
    text: &str,
    may_replace: bool,
) -> anyhow::Result<Restored> {
    let _held = lock_data_dir(settings)?;
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker)?;
    let restored = ledger::restore(&store, text, may_replace).await;
    drop(store);
    tracker.close();
    tracker.wait().await;
    Ok(restored?)
}

/// Result of restoring a store.
#[derive(Debug)]
pub struct RestoredStore {
    /// Contents of the restored store.
    pub contents: BackupContents,
    /// Folder that holds the previous store, or a backup of it; `None` if there was none.
    pub previous: Option<PathBuf>,
}

/// Restores the store and uploaded files of `backup` into the place of `settings`.
///
/// The previous store of a data directory is kept in a folder beside it, and of the records in a Redis
/// a backup is made first. Calls `wait` with the seconds that leases of stopped servers still have, and reports the bytes of
/// records that were read.
///
/// # Errors
/// Fails when a server runs, the backup is damaged, or a write fails; the previous store of a data
/// directory then stays in place, and the records in a Redis have a mark.
pub async fn restore_store(
    settings: &Settings,
    backup: &Path,
    wait: &mut dyn FnMut(u64),
    progress: ByteProgress<'_>,
) -> anyhow::Result<RestoredStore> {
    match settings.store.backend {
        StoreEngine::Redis => restore_shared_store(settings, backup, wait, progress).await,
        StoreEngine::Sled | StoreEngine::Memory => restore_folder(settings, backup, progress),
    }
}

/// Restores `backup` into the data directory of `settings`.
fn restore_folder(
    settings: &Settings,
    backup: &Path,
    progress: ByteProgress<'_>,
) -> anyhow::Result<RestoredStore> {
    records::check_in_data_dir(settings)?;
    let data_dir = &settings.server.data_dir;
    let _held = lock_data_dir(settings)?;
    let aside = create_replaced_folder(data_dir)?;
    let built = build_store(backup, &aside, data_dir, progress)
        .with_context(|| format!("{} was not restored", backup.display()));
    if built.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    let contents = built?;
    // Commit point: until here only files without a record were added, which the next start
    // removes.
    let new = aside.join(records::STORE_FOLDER);
    let old = records::store_folder(data_dir);
    swap_folders(&new, &old).with_context(|| {
        format!(
            "the restored store in {} cannot be put in place",
            new.display()
        )
    })?;
    fs::File::open(data_dir)?.sync_all()?;
    let is_empty = fs::remove_dir(&aside).is_ok();
    Ok(RestoredStore {
        contents,
        previous: (!is_empty).then_some(aside),
    })
}

/// Result of opening a store without its snapshots.
#[derive(Debug)]
pub struct RepairedStore {
    /// Contents of the repaired store.
    pub contents: BackupContents,
    /// Ledger figures that disagree, which means that records are missing.
    pub problems: Vec<String>,
    /// Folder that holds a copy of the store from before the repair.
    pub previous: PathBuf,
}

/// Opens the store of `settings` without its snapshots, for a store whose snapshot is damaged. A
/// copy of it is kept.
///
/// # Errors
/// Fails when a server runs, there is no store, or it cannot be read without its snapshots either.
pub async fn repair_store(settings: &Settings) -> anyhow::Result<RepairedStore> {
    records::check_in_data_dir(settings)?;
    let data_dir = &settings.server.data_dir;
    let folder = records::store_folder(data_dir);
    if !folder.is_dir() {
        return Err(AdminClientError::Empty {
            path: data_dir.clone(),
        }
        .into());
    }
    let _held = lock_data_dir(settings)?;
    let previous = create_replaced_folder(data_dir)?;
    copy_store(&folder, &previous.join(records::STORE_FOLDER))
        .with_context(|| format!("cannot copy the store to {}", previous.display()))?;
    store::remove_snapshots(&folder)?;
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker)?;
    let contents = records::backups(settings, &store).verify_store().await?;
    let problems = LedgerReader::new(store, Clock::system())
        .verify()
        .await?
        .problems;
    tracker.close();
    tracker.wait().await;
    Ok(RepairedStore {
        contents,
        problems,
        previous,
    })
}

/// Creates the folder in `data_dir` for the replaced store.
pub(super) fn create_replaced_folder(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let aside = data_dir.join(format!("replaced-{}", store::time_name()));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&aside)
        .with_context(|| format!("cannot make {}", aside.display()))?;
    Ok(aside)
}

/// Copies the database files, which change, and hard-links the files in subfolders, which do not.
fn copy_store(source: &Path, target: &Path) -> Result<(), store::Error> {
    fs::DirBuilder::new().mode(0o700).create(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let copy = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            store::copy_files(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// Builds a store from `backup` in `aside`, hard-links the present uploaded files of `data_dir`
/// there, and adds the files of the backup to `data_dir`.
fn build_store(
    backup: &Path,
    aside: &Path,
    data_dir: &Path,
    progress: ByteProgress<'_>,
) -> Result<BackupContents, store::Error> {
    let store = aside.join(records::STORE_FOLDER);
    let contents = store::restore_backup(backup, &store, progress)?;
    let present = data_dir.join(records::FILES_FOLDER);
    let previous = backup.join(records::FILES_FOLDER);
    if present.is_dir() {
        // The restored store has no record of some of these files; the next start removes them.
        store::copy_files(&present, &aside.join(records::FILES_FOLDER))?;
    }
    if previous.is_dir() {
        store::copy_files(&previous, &present)?;
    }
    Ok(contents)
}

/// Swaps the folders `new` and `old`, or renames `new` if `old` does not exist. Atomic where the
/// file system supports exchange, so that a kill never leaves a data directory without its store.
fn swap_folders(new: &Path, old: &Path) -> io::Result<()> {
    if !old.exists() {
        return fs::rename(new, old);
    }
    if renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // Fallback without atomicity: a kill between the renames leaves the old store at `third`.
    let third = new.with_extension("before");
    fs::rename(old, &third)?;
    fs::rename(new, old)?;
    fs::rename(third, new)
}

/// Locks the data directory, so that no server can start meanwhile.
pub(super) fn lock_data_dir(settings: &Settings) -> Result<DataDir, AdminClientError> {
    let path = settings.server.data_dir.clone();
    claude::lock_data_dir(&path).map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy => AdminClientError::Taken { path },
        _ => AdminClientError::Folder { path, source },
    })
}
