//! A sled database that recovers from disk failures.
//!
//! sled rejects every write after a failed one, so the database is then closed and reopened once
//! there is space. An unfinished snapshot, left by a kill or a full disk, would make every start
//! fail; it is removed before the database is opened. A finished snapshot that cannot be read is
//! kept and makes the start fail: the log may be damaged too, and sled would skip the unreadable
//! records silently.

use std::fs;
use std::fs::File;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::logs::ErrorChain;

use super::Error;
use super::backend::Backend;
use super::backend::RecordPage;
use super::backend::StoreChange;
use super::disk_space::FreeSpaceFloor;

/// Size of sled's page cache, in bytes. Small, because records are rarely read again, and sled keeps
/// up to ten times as much before it evicts.
const CACHE_BYTES: u64 = 2 * 1024 * 1024;
/// Number of attempts to lock the database, and the pause between them.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// Pause between attempts to reopen a failed database.
const RECOVERY_PAUSE: Duration = Duration::from_millis(250);
/// Minimum interval between log lines about a failing recovery.
const RECOVERY_LOG_INTERVAL: Duration = Duration::from_secs(30);
/// File name prefix of sled's snapshots.
const SNAPSHOT_PREFIX: &str = "snap.";
/// File name suffix of an unfinished snapshot.
const UNFINISHED_SUFFIX: &str = ".generating";

/// A backend on top of a sled database.
#[derive(Debug)]
pub(super) struct SledDatabase(Arc<SharedDatabase>);

#[derive(Debug)]
struct SharedDatabase {
    folder: PathBuf,
    floor: FreeSpaceFloor,
    /// `None` while a failed database is being reopened.
    open: RwLock<Option<OpenDatabase>>,
}

#[derive(Debug)]
struct OpenDatabase {
    database: sled::Db,
    /// The database's file. `flush` only hands it to the operating system; `sync_data` makes the
    /// disk confirm it.
    file: File,
}

impl SledDatabase {
    /// Opens the database in `folder`, creating the folder if it is missing. `floor` limits what
    /// may be written.
    ///
    /// # Errors
    /// Fails when another process has it open, or its files cannot be used.
    pub(super) fn open(folder: &Path, floor: FreeSpaceFloor) -> Result<Self, Error> {
        let open = RwLock::new(Some(OpenDatabase::open(folder)?));
        Ok(Self(Arc::new(SharedDatabase {
            folder: folder.to_owned(),
            floor,
            open,
        })))
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&OpenDatabase) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        work(open.as_ref().ok_or(Error::Recovering)?)
    }

    /// Closes a failed database and reopens it on a separate thread, as soon as that is possible.
    ///
    /// Reads fail from now on: sled's page cache holds changes whose callers got an error.
    pub(super) fn start_recovery(&self) {
        let failed = self
            .0
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(failed) = failed else { return };
        let shared = Arc::downgrade(&self.0);
        let thread = thread::Builder::new().name("store-recovery".to_owned());
        if let Err(error) = thread.spawn(move || recover(&shared, failed)) {
            tracing::error!(%error, "store recovery thread not started");
        }
    }
}

/// Drops `failed` and retries to reopen the database until that succeeds or the store is dropped.
fn recover(shared: &Weak<SharedDatabase>, failed: OpenDatabase) {
    // The file lock is released when the last of sled's own threads has ended.
    // sled syncs its file on drop, and panics if that fails.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(failed)));
    let mut logged: Option<Instant> = None;
    while let Some(shared) = shared.upgrade() {
        let opened = shared
            .floor
            .check(0)
            .and_then(|()| OpenDatabase::open(&shared.folder));
        match opened {
            Ok(opened) => {
                *shared.open.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
                tracing::info!("store reopened");
                return;
            }
            Err(error) if logged.is_none_or(|logged| logged.elapsed() >= RECOVERY_LOG_INTERVAL) => {
                tracing::error!(
                    error = %ErrorChain(&error),
                    "store reopen failed"
                );
                logged = Some(Instant::now());
            }
            Err(_) => {}
        }
        drop(shared);
        thread::sleep(RECOVERY_PAUSE);
    }
}

impl OpenDatabase {
    fn open(folder: &Path) -> Result<Self, Error> {
        remove_unfinished_snapshots(folder)?;
        let database = open_when_unlocked(folder).map_err(Error::engine)?;
        let file = File::open(folder.join("db"))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { database, file })
    }

    /// Writes `batch` and syncs it to disk.
    fn write(&self, batch: sled::Batch) -> Result<(), Error> {
        self.database.apply_batch(batch).map_err(Error::engine)?;
        self.database.flush().map_err(Error::engine)?;
        Ok(self.file.sync_data()?)
    }
}

/// Opens the database in `folder`, with retries while its file lock is held: the threads of a
/// database that was just closed release it one by one, and so does a forked process that has not
/// called `exec` yet.
fn open_when_unlocked(folder: &Path) -> Result<sled::Db, sled::Error> {
    // sled's periodic flush is off, because every write flushes by itself.
    let config = sled::Config::default()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    for _ in 0..LOCK_TRIES {
        match config.open() {
            // sled wraps the system's error in its own; only the text is left to match on.
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
    config.open()
}

/// Removes all snapshots of the database in `folder`, so that the next start reads the log only.
/// sled skips unreadable parts of a log, so records may be missing afterwards; keep a copy of the
/// folder.
///
/// # Errors
/// Fails when a snapshot cannot be removed.
pub fn remove_snapshots(folder: &Path) -> Result<(), Error> {
    for (path, _) in snapshots(folder)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Removes snapshots that a kill or a full disk left unfinished. sled would take one for the newest
/// snapshot, fail to read it, and refuse to open.
fn remove_unfinished_snapshots(folder: &Path) -> Result<(), Error> {
    for (path, name) in snapshots(folder)? {
        if name.ends_with(UNFINISHED_SUFFIX) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Returns paths and names of the snapshots in `folder`, finished or not.
fn snapshots(folder: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut snapshots = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(SNAPSHOT_PREFIX) {
            snapshots.push((entry.path(), name));
        }
    }
    Ok(snapshots)
}

impl Backend for SledDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.with_database(|open| {
            let value = open.database.get(key).map_err(Error::engine)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, Error> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        self.with_database(|open| {
            let mut records = Vec::new();
            for record in open.database.range::<&[u8], _>((start, Bound::Unbounded)) {
                let (key, value) = record.map_err(Error::engine)?;
                if !key.starts_with(prefix) {
                    break;
                }
                if records.len() == limit {
                    return Ok(RecordPage {
                        records,
                        is_last: false,
                    });
                }
                records.push((key.to_vec(), value.to_vec()));
            }
            Ok(RecordPage {
                records,
                is_last: true,
            })
        })
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        let mut bytes = 0;
        for (key, value) in changes {
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        let removes = changes.iter().any(|(_, value)| value.is_none());
        self.0.floor.check_changes(removes, bytes as u64)?;
        let written = self.with_database(|open| open.write(batch));
        if written.is_err() {
            self.start_recovery();
        }
        written
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.0.floor.check(0)?;
        self.with_database(|_| Ok(()))
    }
}

#[cfg(test)]
#[path = "sled_database_tests.rs"]
mod tests;
