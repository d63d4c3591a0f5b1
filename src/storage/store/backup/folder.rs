//! The backups of a data folder: made on demand and once a day, the oldest removed.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::archive::BackupContents;
use super::files::copy_files;
use super::files::make_private;
use super::files::write_file_list;
use crate::domain::SECONDS_A_DAY;
use crate::domain::date_of;
use crate::domain::day_of;
use crate::domain::unix_now_ms;
use crate::storage::store::Backend;
use crate::storage::store::Error;
use crate::storage::store::Store;
use crate::storage::store::backend::for_each_record;
use crate::storage::store::large_values::MAX_INLINE;

/// How often the newest backup's age is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The wait after the start, so that a server that is started for a moment makes none.
const FIRST_CHECK: Duration = Duration::from_secs(60);
/// The beginning of the name of a daily backup.
const DAILY: &str = "daily-";
/// The end of the name of a backup that is being made.
const UNFINISHED: &str = "partial";

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its folder.
    pub path: PathBuf,
    /// Counts of its records.
    pub contents: BackupContents,
}

/// Makes backups of a store, and of folders whose files its records name. Clones share all.
#[derive(Debug, Clone)]
pub struct Backups(Arc<BackupFolder>);

/// The folder of backups, and what is copied to it.
#[derive(Debug)]
pub(super) struct BackupFolder {
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
        Self(Arc::new(BackupFolder {
            store,
            folder,
            beside,
            daily,
            running: Mutex::new(()),
        }))
    }

    /// Makes a backup, while the store is written to. It is on disk when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or the backup cannot be written.
    pub async fn create(&self) -> Result<Backup, Error> {
        self.blocking(|inner| inner.create("")).await
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
            while stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_some()
            {
                pause = CHECK_INTERVAL;
                if let Err(error) = this.blocking(BackupFolder::make_daily).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the daily backup was not made"
                    );
                }
            }
        });
    }

    /// Runs `work` where it stops nobody: it waits for the disk and for another backup.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BackupFolder) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.0);
        self.0
            .store
            .tracker
            .spawn_blocking(move || work(&inner))
            .await
            .map_err(|_| Error::Closed)?
    }
}

/// Reads all records of `backend`.
fn contents_of(backend: &dyn Backend) -> Result<BackupContents, Error> {
    let mut contents = BackupContents::default();
    for_each_record(backend, |_, value| {
        contents.records += 1;
        if value.len() > MAX_INLINE {
            contents.large_values += 1;
            contents.large_bytes += value.len() as u64;
        }
    })?;
    Ok(contents)
}

impl BackupFolder {
    /// Makes a backup whose name begins with `prefix`.
    fn create(&self, prefix: &str) -> Result<Backup, Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        make_private(&self.folder)?;
        let path = self.folder.join(format!("{prefix}{}", time_name()));
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
        write_file_list(folder)?;
        File::open(folder)?.sync_all()?;
        Ok(contents)
    }

    fn copy_beside(&self, folder: &Path) -> Result<(), Error> {
        for source in self.beside.iter().filter(|source| source.is_dir()) {
            let Some(name) = source.file_name() else {
                continue;
            };
            copy_files(source, &folder.join(name))?;
        }
        Ok(())
    }

    /// Makes a backup if the newest daily one is a day old, and removes those that are kept no longer.
    pub(super) fn make_daily(&self) -> Result<(), Error> {
        let a_day_ago = name_at(unix_now_ms().saturating_sub(SECONDS_A_DAY * 1000));
        if self
            .daily_names("")?
            .pop()
            .is_some_and(|newest| newest > format!("{DAILY}{a_day_ago}"))
        {
            return Ok(());
        }
        let Backup { path, contents } = self.create(DAILY)?;
        let records = contents.records;
        tracing::info!(path = %path.display(), records, "the daily backup of the store was made");
        self.remove_old()
    }

    /// Removes the oldest daily backups beyond as many as are kept, and those that a kill has left unfinished. Nothing else in the
    /// folder is touched.
    fn remove_old(&self) -> Result<(), Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = self.daily_names("")?;
        old.truncate(old.len().saturating_sub(self.daily));
        for name in old
            .into_iter()
            .chain(self.daily_names(&format!(".{UNFINISHED}"))?)
        {
            fs::remove_dir_all(self.folder.join(name))?;
        }
        Ok(())
    }

    /// The names of daily backups with `suffix` behind their time, the oldest first.
    fn daily_names(&self, suffix: &str) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let time = name
                .strip_prefix(DAILY)
                .and_then(|name| name.strip_suffix(suffix));
            if time.is_some_and(is_time_name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Whether `name` has the form of the names that [`name_at`] makes.
fn is_time_name(name: &str) -> bool {
    let form = |name: &str| name.replace(|character: char| character.is_ascii_digit(), "0");
    form(name) == form(&name_at(0))
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
