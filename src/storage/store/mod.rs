//! What outlives a request: records on disk, read by many and written by one.
//!
//! Knows nothing of what it keeps. A [`Table`] is a kind of record; a [`Transaction`] changes any of them, all or nothing,
//! and is on disk when it is done. A [`Shelf`] is a table whose records belong to owners and leave after a time.

mod backend;
mod backup;
mod busy;
#[cfg(test)]
mod contract;
mod disk_space;
mod large_values;
#[cfg(test)]
mod large_values_tests;
mod order;
mod parts;
mod record;
mod shape;
mod shelf;
#[cfg(test)]
mod shelf_tests;
mod sled_database;
#[cfg(test)]
mod sled_database_tests;
#[cfg(test)]
pub(crate) mod testing;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use backup::LARGE_VALUES;
use large_values::LargeValues;
use sled_database::SledDatabase;
use writer::AtOnce;
use writer::Job;
use writer::Outcome;

pub use backend::Backend;
pub use backend::Change;
pub use backend::Memory;
pub use backend::Record;
pub use backup::Backup;
pub use backup::BackupContents;
pub use backup::Backups;
pub use backup::copy_files;
pub use backup::restore_backup;
pub use backup::time_name;
pub use backup::verify_backup;
pub use busy::Busy;
pub use busy::Taken;
pub use disk_space::FreeSpaceFloor;
pub use parts::WholeRecord;
pub use record::Stored;
pub use record::decode_record;
pub use record::encode_record;
pub use shelf::Limits;
pub use shelf::Shelf;
pub use sled_database::remove_snapshots;
pub use writer::Transaction;

/// How a store on disk is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// Bytes that stay free on its disk: nothing is written that would leave less.
    pub min_free_bytes: u64,
}

/// Why something cannot be kept or found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database cannot be read or written.
    #[error("the store failed")]
    Database(#[from] sled::Error),
    /// A write would leave less space on the disk than is to stay free.
    #[error("the disk is full: {free_mib} MiB are free, {needed_mib} MiB are needed")]
    DiskFull {
        /// MiB that are free.
        free_mib: u64,
        /// MiB that have to be free before the write.
        needed_mib: u64,
    },
    /// The database failed to write, and is being opened again.
    #[error("the store failed to write, and is being opened again")]
    Recovering,
    /// The file of a large value is missing.
    #[error("a file of the store is missing")]
    MissingFile,
    /// A stored value cannot be read: a later version wrote it, or it is damaged.
    #[error("the stored {kind} {name} cannot be read: {reason}")]
    Unreadable {
        /// The kind of value.
        kind: &'static str,
        /// The id of the value.
        name: String,
        /// The cause, without what the value holds.
        reason: String,
    },
    /// A value cannot be encoded for the store.
    #[error("the {kind} cannot be stored: {reason}")]
    Unwritable {
        /// The kind of value.
        kind: &'static str,
        /// The cause.
        reason: String,
    },
    /// A backup is not as it was written.
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    /// A backup of a store that lies in memory is asked for.
    #[error("the store is not on disk, so it has no backups")]
    NotOnDisk,
    /// Its files cannot be used.
    #[error("the store's files cannot be used")]
    Files(#[source] Arc<std::io::Error>),
    /// The server ends, or a transaction broke.
    #[error("the store is closed")]
    Closed,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Files(Arc::new(error))
    }
}

/// A kind of record. Its name is the beginning of each of its keys on disk, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(&'static str);

impl Table {
    /// The table called `name`, which must be nobody else's.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The key that `rest` has in this table.
    pub fn key(self, rest: impl AsRef<[u8]>) -> Vec<u8> {
        [self.0.as_bytes(), b"\0", rest.as_ref()].concat()
    }

    /// What follows the table's name in `key`.
    pub fn rest(self, key: &[u8]) -> &[u8] {
        key.get(self.0.len() + 1..).unwrap_or_default()
    }
}

/// The records of a server. Clones share them; the last one to go ends the thread that writes.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    writer: Writer,
    tracker: TaskTracker,
}

/// Who runs transactions.
#[derive(Clone)]
enum Writer {
    /// A thread, since it waits for the disk.
    Thread(mpsc::Sender<Job>),
    /// Whoever asks for them.
    AtOnce(Arc<Mutex<AtOnce>>),
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Store")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `folder`, which is made where it is missing. Reads are done on `tracker`.
    ///
    /// # Errors
    /// When another process has it open, or its files cannot be used.
    pub fn open(folder: &Path, config: Config, tracker: TaskTracker) -> Result<Self, Error> {
        let floor = FreeSpaceFloor::new(folder, config.min_free_bytes);
        let database = SledDatabase::open(folder, floor.clone())?;
        let backend = Arc::new(LargeValues::open(
            database,
            &folder.join(LARGE_VALUES),
            floor,
        )?);
        // Listed before anything is written, so no file of this run is among them.
        let files = backend.files()?;
        let store = Self::new(Arc::clone(&backend) as Arc<dyn Backend>, tracker)?;
        store.remove_leftovers(backend, files);
        Ok(store)
    }

    /// Removes the files of large values that an earlier run has left behind, while the server runs.
    fn remove_leftovers(&self, backend: Arc<LargeValues<SledDatabase>>, files: HashSet<String>) {
        self.tracker
            .spawn_blocking(move || match backend.remove_unreferenced(files) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(
                    removed,
                    "files that an earlier run left behind were removed"
                ),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "leftover files were not removed"
                    );
                }
            });
    }

    /// Whether changes can be written now.
    ///
    /// # Errors
    /// With the reason why they cannot.
    pub fn check_writable(&self) -> Result<(), Error> {
        self.backend.check_writable()
    }

    /// A store that leaves nothing behind, and in which nobody waits.
    pub fn in_memory(tracker: TaskTracker) -> Self {
        let writer = Writer::AtOnce(Arc::default());
        Self {
            backend: Arc::new(Memory::default()),
            writer,
            tracker,
        }
    }

    /// A store of the records in `backend`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(backend: Arc<dyn Backend>, tracker: TaskTracker) -> Result<Self, Error> {
        let (jobs, received) = mpsc::channel();
        let writing = Arc::clone(&backend);
        // Whoever waits for the tracker waits for what is still to be written.
        let token = tracker.token();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer::run(&*writing, &received);
                drop(writing);
                drop(token);
            })?;
        Ok(Self {
            backend,
            writer: Writer::Thread(jobs),
            tracker,
        })
    }

    /// Runs `work` alone, and returns once what it changed is on disk. It is told nothing twice and forgets nothing: an
    /// error means that none of its changes was made. Work that has been asked for is done though nobody waits any more.
    ///
    /// # Errors
    /// `work`'s own, or the store's.
    pub fn transaction<T, E, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |transaction: &mut Transaction<'_>| {
            let result = work(transaction);
            let is_good = result.is_ok();
            let tell = Box::new(move |written: Result<(), Error>| {
                // Nobody may be left to hear it.
                let _ =
                    sender.send(result.and_then(|value| written.map(|()| value).map_err(E::from)));
            });
            Outcome { is_good, tell }
        });
        match &self.writer {
            // One that cannot be sent is dropped, and its sender with it.
            Writer::Thread(jobs) => drop(jobs.send(job)),
            Writer::AtOnce(queue) => AtOnce::take(queue, &*self.backend, job),
        }
        async move { receiver.await.unwrap_or_else(|_| Err(Error::Closed.into())) }
    }

    /// The value of `key`, as far as it is on disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        self.read(move |backend| backend.get(&key)).await
    }

    /// The records whose keys start with `prefix`, in the order of their keys, as far as they are on disk.
    /// What is written meanwhile may be among them or not.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn scan(&self, prefix: Vec<u8>) -> Result<Vec<Record>, Error> {
        self.read(move |backend| scan(backend, &prefix)).await
    }

    /// The same records, as they are at one moment between two transactions. Those that come meanwhile wait.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn snapshot(&self, prefix: Vec<u8>) -> Result<Vec<Record>, Error> {
        self.transaction(move |transaction| transaction.scan(&prefix))
            .await
    }

    /// Reads may wait for the disk, so they are done where that stops nobody. Without a disk they are done at once.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if matches!(self.writer, Writer::AtOnce(_)) {
            return work(&*self.backend);
        }
        let backend = Arc::clone(&self.backend);
        self.tracker
            .spawn_blocking(move || work(&*backend))
            .await
            .map_err(|_| Error::Closed)?
    }
}

fn scan(backend: &dyn Backend, prefix: &[u8]) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map_or(Bound::Included(prefix), |(key, _)| {
            Bound::Excluded(key.as_slice())
        });
        match backend.next(prefix, after)? {
            Some(record) => records.push(record),
            None => return Ok(records),
        }
    }
}
