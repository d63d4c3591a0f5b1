//! The backups of a data folder: made on demand and once a day, the oldest removed.

use std::fs;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::archive::BackupContents;
use crate::domain::SECONDS_A_DAY;
use crate::domain::date_of;
use crate::domain::day_of;
use crate::domain::unix_now_ms;
use crate::store::Backend;
use crate::store::Error;
use crate::store::Store;
use crate::store::large_values::MAX_INLINE;

/// How often the newest backup's age is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The wait after the start, so that a server that is started for a moment makes none.
const FIRST_CHECK: Duration = Duration::from_secs(60);
/// The end of the name of a backup that is being made.
const UNFINISHED: &str = "partial";
/// The mode of folders that nobody else may read.
const PRIVATE: u32 = 0o700;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its folder.
    pub path: PathBuf,
    /// What is in it.
    pub contents: BackupContents,
}

/// Makes backups of a store, and of folders whose files its records name. Clones share all.
#[derive(Debug, Clone)]
pub struct Backups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    folder: PathBuf,
    /// Folders that are copied with the records, each under the last part of its path. Their files never change.
    beside: Vec<PathBuf>,
    /// Daily backups that are kept; with 0 none are made.
    daily: usize,
    /// Held while a backup is made or removed.
    running: Mutex<()>,
}

impl Backups {
    /// Backups in `folder` of `store` and the folders `beside` it, of which `daily` are kept.
    pub fn new(store: Store, folder: PathBuf, beside: Vec<PathBuf>, daily: usize) -> Self {
        Self(Arc::new(Inner { store, folder, beside, daily, running: Mutex::new(()) }))
    }

    /// Makes a backup, while the store is written to. It is on disk when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or the backup cannot be written.
    pub async fn create(&self) -> Result<Backup, Error> {
        let inner = Arc::clone(&self.0);
        let made = self.0.store.tracker.spawn_blocking(move || inner.create());
        made.await.map_err(|_| Error::Closed)?
    }

    /// Reads the store through, and returns what is in it.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub async fn verify_store(&self) -> Result<BackupContents, Error> {
        self.0.store.read(contents_of).await
    }

    /// Makes a backup when the newest one is a day old, and removes the oldest beyond as many as are kept, until `stop`.
    pub fn keep_daily(&self, stop: CancellationToken) {
        if self.0.daily == 0 {
            return;
        }
        let this = self.clone();
        self.0.store.tracker.spawn(async move {
            let mut pause = FIRST_CHECK;
            while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
                pause = CHECK_INTERVAL;
                if let Err(error) = this.make_daily().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the daily backup was not made");
                }
            }
        });
    }

    pub(super) async fn make_daily(&self) -> Result<(), Error> {
        let newest = self.0.all()?.into_iter().rfind(|path| !is_unfinished(path));
        let a_day_ago = self.0.folder.join(name_at(unix_now_ms().saturating_sub(SECONDS_A_DAY * 1000)));
        if newest.is_some_and(|newest| newest > a_day_ago) {
            return Ok(());
        }
        let Backup { path, contents } = self.create().await?;
        let records = contents.records;
        tracing::info!(path = %path.display(), records, "the daily backup of the store was made");
        self.0.remove_old()
    }
}

/// Reads all records of `backend`.
fn contents_of(backend: &dyn Backend) -> Result<BackupContents, Error> {
    let mut contents = BackupContents::default();
    let mut last: Option<Vec<u8>> = None;
    while let Some((key, value)) =
        backend.next(&[], last.as_deref().map_or(Bound::Unbounded, Bound::Excluded))?
    {
        contents.records += 1;
        if value.len() > MAX_INLINE {
            contents.large_values += 1;
            contents.large_bytes += value.len() as u64;
        }
        last = Some(key);
    }
    Ok(contents)
}

impl Inner {
    fn create(&self) -> Result<Backup, Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        make_private(&self.folder)?;
        let path = self.folder.join(time_name());
        let partial = path.with_extension(UNFINISHED);
        let made = self.write_to(&partial);
        if made.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        let contents = made?;
        fs::rename(&partial, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Backup { path, contents })
    }

    fn write_to(&self, folder: &Path) -> Result<BackupContents, Error> {
        make_private(folder)?;
        self.copy_beside(folder)?;
        let contents = self.store.backend.back_up(folder)?;
        // Once more, for files that came between the first copy and the moment of the records.
        self.copy_beside(folder)?;
        File::open(folder)?.sync_all()?;
        Ok(contents)
    }

    fn copy_beside(&self, folder: &Path) -> Result<(), Error> {
        for source in self.beside.iter().filter(|source| source.is_dir()) {
            let Some(name) = source.file_name() else { continue };
            copy_files(source, &folder.join(name))?;
        }
        Ok(())
    }

    /// The daily backups, the oldest first.
    fn all(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut backups = Vec::new();
        for entry in entries {
            backups.push(entry?.path());
        }
        backups.sort_unstable();
        Ok(backups)
    }

    /// Removes the oldest backups beyond as many as are kept, and what a kill has left unfinished.
    fn remove_old(&self) -> Result<(), Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (unfinished, mut old): (Vec<_>, Vec<_>) =
            self.all()?.into_iter().partition(|path| is_unfinished(path));
        old.truncate(old.len().saturating_sub(self.daily));
        for path in unfinished.into_iter().chain(old) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == UNFINISHED)
}

/// The name of a backup that is made now.
pub fn time_name() -> String {
    name_at(unix_now_ms())
}

/// The name of a backup that is made at `now`, in milliseconds of Unix time. Names sort like times.
fn name_at(now: u64) -> String {
    let (seconds, milliseconds) = (now / 1000, now % 1000);
    let (year, month, day) = date_of(day_of(seconds));
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}-{milliseconds:03}Z")
}

fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(folder)
}

/// Copies the files of `source` that are not in `target` yet, which is made where it is missing. One that is removed meanwhile is
/// left out. The names are on disk when this returns.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_files(source: &Path, target: &Path) -> Result<(), Error> {
    make_private(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let copy = target.join(entry.file_name());
        if copy.exists() || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        match link_or_copy(&entry.path(), &copy) {
            Err(Error::Files(error)) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(File::open(target)?.sync_all()?)
}

/// Makes `copy` a second name of the file `source`, or a copy where it lies on another disk or the disk has no second names.
pub(in crate::store) fn link_or_copy(source: &Path, copy: &Path) -> Result<(), Error> {
    match fs::hard_link(source, copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            fs::copy(source, copy)?;
            Ok(File::open(copy)?.sync_all()?)
        }
        linked => Ok(linked?),
    }
}
