//! The backups of a data folder: on demand and daily, with removal of the oldest.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::archive::BackupContents;
use super::files::copy_files;
use super::files::make_private;
use super::files::write_file_list;
use crate::domain::SECONDS_A_DAY;
use crate::domain::date_from_day;
use crate::domain::day_from_unix;
use crate::domain::unix_now_ms;
use crate::storage::store::Backend;
use crate::storage::store::Error;
use crate::storage::store::RedisScript;
use crate::storage::store::Store;
use crate::storage::store::backend::for_each_record;
use crate::storage::store::large_values::MAX_INLINE;
use crate::telemetry::logs::ErrorChain;

/// Interval between checks of the newest backup's age.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Delay of the first check, so that a short-lived server makes no backup.
const FIRST_CHECK: Duration = Duration::from_secs(60);
/// Script by which one of the servers that share a store claims the backup of a day, with its text.
static CLAIM: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/claim.lua")));
/// Name of the claim of the backup of a day.
const CLAIM_NAME: &str = "daily-backup";
/// Time for which the backup of a day is claimed.
const CLAIM_TIME: Duration = Duration::from_secs(SECONDS_A_DAY);
/// Name prefix of a daily backup.
const DAILY_PREFIX: &str = "daily-";
/// File extension of an unfinished backup.
const UNFINISHED_EXTENSION: &str = "partial";

/// A finished backup on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Folder of the backup.
    pub path: PathBuf,
    /// Number and size of its records.
    pub contents: BackupContents,
}

/// Makes backups of a store and of folders with files that its records reference. Clones share the
/// state.
#[derive(Debug, Clone)]
pub struct Backups(Arc<BackupFolder>);

/// The backup folder and the sources of a backup.
#[derive(Debug)]
pub(super) struct BackupFolder {
    store: Store,
    folder: PathBuf,
    /// Folders that are copied along with the records, each under the last component of its path.
    /// Their files must be immutable.
    extra_folders: Vec<PathBuf>,
    /// Number of daily backups to retain; 0 disables them.
    max_daily: usize,
    /// Held while a backup is made or removed.
    running: Mutex<()>,
    /// Random name by which this server claims the backup of a day.
    claimant: String,
}

impl Backups {
    /// Creates backups of `store` and the folders `beside` it in `folder`. `daily` is the number of
    /// daily backups to retain.
    pub fn new(store: Store, folder: PathBuf, beside: Vec<PathBuf>, daily: usize) -> Self {
        Self(Arc::new(BackupFolder {
            store,
            folder,
            extra_folders: beside,
            max_daily: daily,
            running: Mutex::new(()),
            claimant: Uuid::new_v4().simple().to_string(),
        }))
    }

    /// Makes a backup while writes continue. The backup is on disk when this returns.
    ///
    /// # Errors
    /// Fails when the store cannot be read or the backup cannot be written.
    pub async fn create(&self) -> Result<Backup, Error> {
        self.blocking(|inner| inner.create("")).await
    }

    /// Reads every record of the store and returns its contents.
    ///
    /// # Errors
    /// Fails when a record cannot be read.
    pub async fn verify_store(&self) -> Result<BackupContents, Error> {
        self.0.store.read(contents_of).await
    }

    /// Starts a task that makes a daily backup and removes the oldest ones, until `stop` is
    /// cancelled.
    pub fn spawn_daily_backups(&self, stop: CancellationToken) {
        if self.0.max_daily == 0 {
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
                        error = %ErrorChain(&error),
                        "daily backup failed"
                    );
                }
            }
        });
    }

    /// Runs `work` on the blocking thread pool: it waits for the disk and for a running backup.
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

/// Counts the records of `backend` by reading all of them.
fn contents_of(backend: &dyn Backend) -> Result<BackupContents, Error> {
    let mut contents = BackupContents::default();
    for_each_record(backend, &[], |(_, value)| {
        contents.records += 1;
        if value.len() > MAX_INLINE {
            contents.large_values += 1;
            contents.large_bytes += value.len() as u64;
        }
        Ok(())
    })?;
    Ok(contents)
}

impl BackupFolder {
    /// Makes a backup whose name starts with `prefix`.
    fn create(&self, prefix: &str) -> Result<Backup, Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        make_private(&self.folder)?;
        let path = self.folder.join(format!("{prefix}{}", time_name()));
        let partial = path.with_extension(UNFINISHED_EXTENSION);
        // Write to a temporary name, then rename: an unfinished backup never has a final name.
        let written = self.write_to(&partial);
        if written.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        let contents = written?;
        fs::rename(&partial, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Backup { path, contents })
    }

    fn write_to(&self, folder: &Path) -> Result<BackupContents, Error> {
        make_private(folder)?;
        self.copy_extra_folders(folder)?;
        let contents = self.store.backend.back_up(folder)?;
        // Second pass: files that were created between the first copy and the snapshot of the
        // records.
        self.copy_extra_folders(folder)?;
        write_file_list(folder)?;
        File::open(folder)?.sync_all()?;
        Ok(contents)
    }

    fn copy_extra_folders(&self, folder: &Path) -> Result<(), Error> {
        for source in self.extra_folders.iter().filter(|source| source.is_dir()) {
            let Some(name) = source.file_name() else {
                continue;
            };
            copy_files(source, &folder.join(name))?;
        }
        Ok(())
    }

    /// Makes a backup if the newest daily one is a day old, then removes the oldest. Of the servers that
    /// share a store, one makes it each day.
    pub(super) fn make_daily(&self) -> Result<(), Error> {
        let a_day_ago = name_at(unix_now_ms().saturating_sub(SECONDS_A_DAY * 1000));
        if self
            .daily_names("")?
            .pop()
            .is_some_and(|newest| newest > format!("{DAILY_PREFIX}{a_day_ago}"))
        {
            return Ok(());
        }
        if !self.claim_day(CLAIM_TIME)? {
            return self.remove_old();
        }
        let created = self.create(DAILY_PREFIX);
        if created.is_err() {
            // Another server may do better.
            let _ = self.claim_day(Duration::from_millis(1));
        }
        let Backup { path, contents } = created?;
        let records = contents.records;
        tracing::info!(path = %path.display(), records, "daily backup made");
        self.remove_old()
    }

    /// Claims the backup of a day for `time`. Returns false if another server has claimed it.
    fn claim_day(&self, time: Duration) -> Result<bool, Error> {
        if !self.store.is_shared() {
            return Ok(true);
        }
        let arguments = vec![
            self.claimant.clone().into_bytes(),
            time.as_millis().to_string().into_bytes(),
        ];
        let backend = &self.store.backend;
        let claimed = backend.run_script(&CLAIM, &[CLAIM_NAME.to_owned()], arguments)?;
        Ok(claimed == [1])
    }

    /// Removes the oldest daily backups beyond the number to retain, and unfinished daily backups
    /// left by a kill. Other entries of the folder are not touched.
    fn remove_old(&self) -> Result<(), Error> {
        let _only = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = self.daily_names("")?;
        old.truncate(old.len().saturating_sub(self.max_daily));
        for name in old
            .into_iter()
            .chain(self.daily_names(&format!(".{UNFINISHED_EXTENSION}"))?)
        {
            fs::remove_dir_all(self.folder.join(name))?;
        }
        Ok(())
    }

    /// Returns the names of daily backups that end in `suffix`, oldest first.
    fn daily_names(&self, suffix: &str) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let time = name
                .strip_prefix(DAILY_PREFIX)
                .and_then(|name| name.strip_suffix(suffix));
            if time.is_some_and(is_time_name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Returns the day of the newest backup in `folder`, such as 2026-11-30; `None` if there is none.
pub fn last_backup_day(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?;
    let times = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let time = name.strip_prefix(DAILY_PREFIX).unwrap_or(&name);
        is_time_name(time).then(|| time.to_owned())
    });
    let newest = times.max()?;
    let (day, _) = newest.split_once('T')?;
    Some(day.to_owned())
}

/// Returns true if `name` has the format of [`name_at`].
fn is_time_name(name: &str) -> bool {
    let form = |name: &str| name.replace(|character: char| character.is_ascii_digit(), "0");
    form(name) == form(&name_at(0))
}

/// Returns the name of a backup made now, from the current time.
pub fn time_name() -> String {
    name_at(unix_now_ms())
}

/// Returns the name of a backup made at `now` (Unix milliseconds). Names sort chronologically.
fn name_at(now: u64) -> String {
    let seconds = now / 1000;
    let milliseconds = now % 1000;
    let (year, month, day) = date_from_day(day_from_unix(seconds));
    let hour = seconds / 3600 % 24;
    let minute = seconds / 60 % 60;
    let second = seconds % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}-{milliseconds:03}Z")
}
