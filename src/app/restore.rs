//! Restores a ledger or a whole store, and repairs a damaged store. No server may run, since it would write over the result.

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

use super::DeskError;
use super::records;
use crate::accounts::ledger;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Reader;
use crate::accounts::ledger::Restored;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::DataDir;
use crate::storage::store;
use crate::storage::store::BackupContents;

/// Puts the ledger of `text` into the data directory of `settings`, in the place of the one that is there if it
/// `may_replace` that.
///
/// # Errors
/// When a server runs, the records cannot be used, or the ledger does not let itself be restored.
pub async fn restore_ledger(
    settings: &Settings,
    text: &str,
    may_replace: bool,
) -> anyhow::Result<Restored> {
    let _held = hold(settings)?;
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker)?;
    let restored = ledger::restore(&store, text, may_replace).await;
    drop(store);
    tracker.close();
    tracker.wait().await;
    Ok(restored?)
}

/// A store that was put in place.
#[derive(Debug)]
pub struct RestoredStore {
    /// What is in it.
    pub contents: BackupContents,
    /// Where the store lies that was there before; none where there was none.
    pub kept: Option<PathBuf>,
}

/// Puts the store of `backup`, with the files of clients, into the data directory of `settings`. The store that is there is kept in
/// a folder beside it.
///
/// # Errors
/// When a server runs, the backup is damaged, or something cannot be written; then the store that is there stays in place.
pub fn restore_store(settings: &Settings, backup: &Path) -> anyhow::Result<RestoredStore> {
    let data_dir = &settings.server.data_dir;
    let _held = hold(settings)?;
    let aside = make_aside(data_dir)?;
    let built = build(backup, &aside, data_dir)
        .with_context(|| format!("{} was not restored", backup.display()));
    if built.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    let contents = built?;
    // The one step: before it all is as it was, but for files that no record names, which go at the next start.
    let (new, old) = (aside.join(records::STORE), records::folder(data_dir));
    exchange(&new, &old).with_context(|| {
        format!(
            "the restored store in {} cannot be put in place",
            new.display()
        )
    })?;
    fs::File::open(data_dir)?.sync_all()?;
    let is_empty = fs::remove_dir(&aside).is_ok();
    Ok(RestoredStore {
        contents,
        kept: (!is_empty).then_some(aside),
    })
}

/// A store that was opened without its snapshots.
#[derive(Debug)]
pub struct RepairedStore {
    /// What is in it.
    pub contents: BackupContents,
    /// Figures of the ledger that do not agree: the sign of records that are missing.
    pub problems: Vec<String>,
    /// Where a copy of the store lies as it was before.
    pub kept: PathBuf,
}

/// Opens the store of `settings` without its snapshots, for one whose snapshot is damaged. A copy of it is kept.
///
/// # Errors
/// When a server runs, there is no store, or it cannot be read without its snapshots either.
pub async fn repair_store(settings: &Settings) -> anyhow::Result<RepairedStore> {
    let data_dir = &settings.server.data_dir;
    let folder = records::folder(data_dir);
    if !folder.is_dir() {
        return Err(DeskError::Empty {
            path: data_dir.clone(),
        }
        .into());
    }
    let _held = hold(settings)?;
    let kept = make_aside(data_dir)?;
    copy_store(&folder, &kept.join(records::STORE))
        .with_context(|| format!("cannot copy the store to {}", kept.display()))?;
    store::remove_snapshots(&folder)?;
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker)?;
    let contents = records::backups(settings, &store).verify_store().await?;
    let problems = Reader::new(store, Clock::system()).verify().await?.problems;
    tracker.close();
    tracker.wait().await;
    Ok(RepairedStore {
        contents,
        problems,
        kept,
    })
}

/// Makes the folder in `data_dir` for what is replaced.
fn make_aside(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let aside = data_dir.join(format!("replaced-{}", store::time_name()));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&aside)
        .with_context(|| format!("cannot make {}", aside.display()))?;
    Ok(aside)
}

/// Copies the files of the database, which change, and gives its other files, which do not, a second name.
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

/// Makes a store of `backup` in `aside`, where the files that are in `data_dir` get a second name, and adds its files to them.
fn build(backup: &Path, aside: &Path, data_dir: &Path) -> Result<BackupContents, store::Error> {
    let contents = store::restore_backup(backup, &aside.join(records::STORE))?;
    let (present, kept) = (data_dir.join(records::FILES), backup.join(records::FILES));
    if present.is_dir() {
        // The restored store does not know them all, so the next start removes some.
        store::copy_files(&present, &aside.join(records::FILES))?;
    }
    if kept.is_dir() {
        store::copy_files(&kept, &present)?;
    }
    Ok(contents)
}

/// Puts the folder `new` in the place of `old`, and `old`, if it is there, in the place of `new`: in one step where the disk can, so
/// that a kill never leaves a data directory without its store.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    if !old.exists() {
        return fs::rename(new, old);
    }
    if renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    let third = new.with_extension("before");
    fs::rename(old, &third)?;
    fs::rename(new, old)?;
    fs::rename(third, new)
}

/// Holds the data directory, which no server may hold meanwhile.
fn hold(settings: &Settings) -> Result<DataDir, DeskError> {
    let path = settings.server.data_dir.clone();
    claude::take_data_dir(&path).map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy => DeskError::Taken { path },
        _ => DeskError::Folder { path, source },
    })
}
