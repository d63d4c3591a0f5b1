//! A sled database that survives failures of the disk.
//!
//! sled refuses every write after one that failed, so the database is closed then and opened again once there is space. An
//! unfinished snapshot, which a kill or a full disk leaves behind and which would end each later start, is removed before the
//! database is opened. A finished snapshot that cannot be read stays and ends the start: it shows that the log may be damaged
//! too, of which sled would skip what it cannot read.

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

use super::Error;
use super::backend::Backend;
use super::backend::Change;
use super::backend::Record;
use super::disk_space::FreeSpaceFloor;

/// Memory for pages that were read, in bytes. Records are read seldom, so the database is an index rather than a cache.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often a taken lock is tried again, and the pause before each try.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// The pause between two attempts to open a database that failed.
const RECOVERY_PAUSE: Duration = Duration::from_millis(250);
/// How often a recovery that does not succeed is logged.
const RECOVERY_LOG_INTERVAL: Duration = Duration::from_secs(30);
/// The beginning of the names of sled's snapshots.
const SNAPSHOT_PREFIX: &str = "snap.";
/// The end of the name of a snapshot that is being written.
const UNFINISHED_SUFFIX: &str = ".generating";

/// Records in a sled database.
#[derive(Debug)]
pub(super) struct SledDatabase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    floor: FreeSpaceFloor,
    /// None while a database that failed is closed and opened again.
    open: RwLock<Option<OpenDatabase>>,
}

#[derive(Debug)]
struct OpenDatabase {
    database: sled::Db,
    /// The database's own file: `flush` hands it to the system, and only `sync_data` has the disk confirm it.
    file: File,
}

impl SledDatabase {
    /// Opens the database in `folder`, which is made where it is missing. Nothing is written that would leave less than
    /// `floor`.
    ///
    /// # Errors
    /// When another process has it open, or its files cannot be used.
    pub(super) fn open(folder: &Path, floor: FreeSpaceFloor) -> Result<Self, Error> {
        let open = RwLock::new(Some(OpenDatabase::open(folder)?));
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            floor,
            open,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&OpenDatabase) -> Result<T, Error>) -> Result<T, Error> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        work(open.as_ref().ok_or(Error::Recovering)?)
    }

    /// Closes a database that failed, on a thread of its own, which opens it again when it can.
    ///
    /// Readers are refused from now on: the pages in memory hold changes of which the callers heard that they were not made.
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
            tracing::error!(%error, "the store cannot be opened again: no thread can be started; restart the server");
        }
    }
}

/// Closes `failed` and opens the database again, however long the disk stays full, or until nobody wants it any more.
fn recover(shared: &Weak<Shared>, failed: OpenDatabase) {
    // Its lock is released when the last of sled's own threads lets go of it.
    // sled syncs its file when it is dropped, and panics where that fails.
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
                tracing::info!("the store is open again");
                return;
            }
            Err(error) if logged.is_none_or(|logged| logged.elapsed() >= RECOVERY_LOG_INTERVAL) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store cannot be opened again yet"
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
    /// Opens the database in `folder`.
    fn open(folder: &Path) -> Result<Self, Error> {
        remove_unfinished_snapshots(folder)?;
        let database = open_when_unlocked(folder)?;
        let file = File::open(folder.join("db"))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { database, file })
    }

    /// Writes `batch` and has the disk confirm it.
    fn write(&self, batch: sled::Batch) -> Result<(), Error> {
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        Ok(self.file.sync_data()?)
    }
}

/// Opens the database in `folder`, and tries for a moment where its lock is taken: the threads of one that was just closed let go
/// of it one after the other, and so does a process that was forked and not yet started.
fn open_when_unlocked(folder: &Path) -> Result<sled::Db, sled::Error> {
    // A flush of its own would only come between ours.
    let config = sled::Config::default()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    for _ in 0..LOCK_TRIES {
        match config.open() {
            // sled wraps the system's error in one of its own, of which only the words are left.
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
    config.open()
}

/// Removes all snapshots of the database in `folder`, so that the next start reads its log alone. sled skips what it cannot read of
/// a log, so records may be missing then; a copy must be kept.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_snapshots(folder: &Path) -> Result<(), Error> {
    for (path, _) in snapshots(folder)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Removes snapshots that were being written when a process died or the disk was full. sled takes one for the newest
/// snapshot, cannot read it, and refuses to open.
fn remove_unfinished_snapshots(folder: &Path) -> Result<(), Error> {
    for (path, name) in snapshots(folder)? {
        if name.ends_with(UNFINISHED_SUFFIX) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Paths and names of the snapshots in `folder`, finished or not.
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
        self.with(|open| Ok(open.database.get(key)?.map(|value| value.to_vec())))
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        self.with(|open| {
            let found = open
                .database
                .range::<&[u8], _>((after, Bound::Unbounded))
                .next()
                .transpose()?;
            Ok(found
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.to_vec(), value.to_vec())))
        })
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
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
        let written = self.with(|open| open.write(batch));
        if written.is_err() {
            self.start_recovery();
        }
        written
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.0.floor.check(0)?;
        self.with(|_| Ok(()))
    }
}
