//! Embedded key-value store: concurrent readers, one writer.
//!
//! - [`StoreTable`]: a kind of record; its name prefixes the keys.
//! - [`Transaction`]: an atomic change of any number of records, durable once it returns.
//!   Concurrent transactions share one disk sync (group commit).
//! - [`TtlTable`]: a table whose records belong to owners and expire after a time to live (TTL).

mod backend;
mod backup;
mod disk_space;
mod error;
mod fact_set;
mod large_values;
mod memory;
mod read_set;
mod recent_facts;
mod record;
mod record_copy;
mod record_parts;
mod record_place;
mod record_summary;
mod redis_database;
mod sled_database;
mod store_mark;
#[cfg(test)]
pub(crate) mod testing;
mod ttl_index;
mod ttl_layout;
mod ttl_table;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
#[cfg(test)]
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::runtime::setting;

use backend::for_each_record;
use backup::LARGE_VALUES;
use large_values::LargeValues;
#[cfg(test)]
use memory::InlineWriter;
use redis_database::RedisDatabase;
use sled_database::SledDatabase;
use store_mark::refuse_marked;
use writer::QueuedTransaction;
use writer::WriteJob;

use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::StoreMetrics;

pub use backend::Backend;
pub use backend::RecordPage;
pub use backend::StoreChange;
pub use backend::StoreRecord;
pub use backup::Backup;
pub use backup::BackupContents;
pub use backup::Backups;
pub use backup::ByteProgress;
pub use backup::copy_files;
pub use backup::copy_files_with;
pub use backup::last_backup_day;
pub use backup::restore_backup;
pub use backup::time_name;
pub use backup::verify_backup;
pub use disk_space::FreeSpaceFloor;
pub use error::Error;
pub(crate) use memory::MemoryBackend;
pub use read_set::ReadSet;
pub use record::Stored;
pub use record::decode_record;
pub use record::encode_record;
pub use record::skip_unreadable;
pub use record_copy::RecordProgress;
pub use record_copy::check_target;
pub use record_copy::claim_target;
pub use record_copy::copy_records;
pub use record_copy::restore_records;
pub use record_copy::summarize_records;
pub use record_parts::RecordWithParts;
pub use record_place::RecordPlace;
pub use record_summary::RecordSummary;
pub use record_summary::TableSummary;
pub use redis_database::Config as RedisConfig;
pub use redis_database::OutagePolicy;
pub use redis_database::RedisScript;
pub use redis_database::RedisScriptCall;
pub use redis_database::RedisWarning;
pub use redis_database::check_redis;
pub use redis_database::count_redis_records;
pub use redis_database::read_key_prefix;
#[cfg(test)]
pub(crate) use redis_database::replication_testing::FrozenLinks;
#[cfg(test)]
pub(crate) use redis_database::replication_testing::RedisPair;
#[cfg(test)]
pub(crate) use redis_database::testing::RedisServer;
pub use sled_database::remove_snapshots;
pub use store_mark::StoreMark;
pub use store_mark::check_folder_unmarked;
pub use store_mark::read_folder_mark;
pub use ttl_table::TtlLimits;
pub use ttl_table::TtlTable;
pub use writer::Transaction;

/// Settings of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Place of the records.
    pub backend: StoreEngine,
    /// Free space to leave on the disk, in bytes. Writes that would leave less are rejected.
    #[serde(rename = "min_free_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<0, { 1 << 20 }, _, _>")]
    pub min_free_bytes: u64,
    /// Number of daily backups that are kept, for a year at most.
    #[serde(deserialize_with = "setting::number::<0, 366, _, _>")]
    pub backups: usize,
}

/// Place of a store's records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreEngine {
    /// Database in the data directory, for one server.
    #[default]
    Sled,
    /// Memory of the server; the records end with it.
    Memory,
    /// Redis, which several servers share.
    Redis,
}

/// A kind of record, identified by a name that prefixes each of its keys on disk. The name never
/// changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreTable(&'static str);

impl StoreTable {
    /// Creates the table `name`. The name must be unique within the store.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns the full key of `rest` in this table.
    pub fn key(self, rest: impl AsRef<[u8]>) -> Vec<u8> {
        [self.0.as_bytes(), b"\0", rest.as_ref()].concat()
    }

    /// Returns `key` without the table's name, the inverse of [`key`](Self::key).
    pub fn key_suffix(self, key: &[u8]) -> &[u8] {
        key.get(self.0.len() + 1..).unwrap_or_default()
    }

    /// Returns the key of the record `id` of `owner`. Neither may contain a null character.
    pub fn owned_key(self, owner: &str, id: &str) -> Vec<u8> {
        self.key(ttl_index::record_key(owner, id))
    }

    /// Returns owner and id from `key`, the inverse of [`owned_key`](Self::owned_key).
    pub fn owner_and_id(self, key: &[u8]) -> Option<(String, String)> {
        ttl_index::owner_and_id(self.key_suffix(key))
    }
}

/// The record store of a server. Clones share it; the writer thread ends when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    writer: StoreWriter,
    tracker: TaskTracker,
}

/// Executor of transactions.
#[derive(Clone)]
enum StoreWriter {
    /// A dedicated thread, which blocks on the disk.
    Thread(mpsc::Sender<Box<dyn WriteJob>>),
    /// The calling thread.
    #[cfg(test)]
    Inline(Arc<Mutex<InlineWriter>>),
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
    /// Opens the store in `folder`, creating the folder if it is missing. Reads run as blocking
    /// tasks on `tracker`.
    ///
    /// # Errors
    /// Fails when another process has it open, or its files cannot be used.
    pub fn open(folder: &Path, config: Config, tracker: TaskTracker) -> Result<Self, Error> {
        Self::open_measured(folder, config, tracker, StoreMetrics::default())
    }

    /// Opens the store in `folder` as [`open`](Self::open) does. Its commits are recorded in
    /// `metrics`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_measured(
        folder: &Path,
        config: Config,
        tracker: TaskTracker,
        metrics: StoreMetrics,
    ) -> Result<Self, Error> {
        let floor = FreeSpaceFloor::new(folder, config.min_free_bytes);
        let database = SledDatabase::open(folder, floor.clone())?;
        let backend = Arc::new(LargeValues::open(
            database,
            &folder.join(LARGE_VALUES),
            floor,
        )?);
        refuse_marked(backend.mark()?)?;
        // Listed before the first write, so no file of this run is among them.
        let files = backend.list_files()?;
        let store = Self::with_writer(Arc::clone(&backend) as Arc<dyn Backend>, tracker, metrics)?;
        store.remove_leftover_files(backend, files);
        Ok(store)
    }

    /// Opens the store in the Redis of `config`, which other servers may use, too. Commits are recorded
    /// in `metrics`.
    ///
    /// # Errors
    /// Fails when Redis cannot be reached, or its settings would lose records.
    pub fn open_shared(
        config: &RedisConfig,
        tracker: TaskTracker,
        metrics: StoreMetrics,
    ) -> Result<Self, Error> {
        let database = RedisDatabase::open(config)?;
        Self::with_writer(Arc::new(database), tracker, metrics)
    }

    /// Creates a store whose records end with the process. Commits are recorded in `metrics`.
    ///
    /// # Errors
    /// Fails when no thread can be started.
    pub fn open_in_memory(tracker: TaskTracker, metrics: StoreMetrics) -> Result<Self, Error> {
        Self::with_writer(Arc::new(MemoryBackend::default()), tracker, metrics)
    }

    /// Removes unreferenced files of large values from an earlier run, in the background.
    fn remove_leftover_files(
        &self,
        backend: Arc<LargeValues<SledDatabase>>,
        files: HashSet<String>,
    ) {
        self.tracker
            .spawn_blocking(move || match backend.remove_unreferenced(files) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "leftover files removed"),
                Err(error) => {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "leftover files not removed"
                    );
                }
            });
    }

    /// Checks that the store accepts writes.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Recovering`], or an error of reading the free space.
    pub fn check_writable(&self) -> Result<(), Error> {
        self.backend.check_writable()
    }

    /// Returns true if other servers may use the same records at the same time.
    pub fn is_shared(&self) -> bool {
        self.backend.is_shared()
    }

    /// Creates an in-memory store. Transactions run on the calling thread.
    #[cfg(test)]
    pub(crate) fn in_memory(tracker: TaskTracker) -> Self {
        Self::inline(Arc::new(MemoryBackend::default()), tracker)
    }

    /// Creates a store on top of `backend`. Transactions run on the calling thread.
    #[cfg(test)]
    pub(crate) fn inline(backend: Arc<dyn Backend>, tracker: TaskTracker) -> Self {
        let writer = StoreWriter::Inline(Arc::default());
        Self {
            backend,
            writer,
            tracker,
        }
    }

    /// Creates a store on top of `backend`, with a writer thread.
    ///
    /// # Errors
    /// Fails when no thread can be started.
    pub fn new(backend: Arc<dyn Backend>, tracker: TaskTracker) -> Result<Self, Error> {
        Self::with_writer(backend, tracker, StoreMetrics::default())
    }

    fn with_writer(
        backend: Arc<dyn Backend>,
        tracker: TaskTracker,
        metrics: StoreMetrics,
    ) -> Result<Self, Error> {
        let (jobs, received) = mpsc::channel();
        let writing = Arc::clone(&backend);
        // Graceful shutdown: the tracker waits for this token, so for every queued transaction.
        let token = tracker.token();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer::run(&*writing, &received, &metrics);
                drop(writing);
                drop(token);
            })?;
        Ok(Self {
            backend,
            writer: StoreWriter::Thread(jobs),
            tracker,
        })
    }

    /// Runs `work` with exclusive write access and returns once its changes are on disk.
    ///
    /// Atomic: an error means that none of its changes is visible. Changes of a failed disk write
    /// may still be found after the store is reopened. The transaction is queued by the call
    /// itself, so it also runs when the returned future is dropped.
    ///
    /// `work` may run several times, of which the last counts: it changes nothing but the
    /// transaction, and what else it does is registered by
    /// [`after_write`](Transaction::after_write). It is dropped once its changes are on disk, before
    /// the caller gets the result, so a lock that it holds covers the write.
    ///
    /// # Errors
    /// Fails with the error of `work`, or when the store fails.
    pub fn transaction<T, E, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.transaction_then(work, |value| value)
    }

    /// Runs `work` like [`transaction`](Self::transaction), and then `convert` once with the result of
    /// its last run, also when the write failed or the returned future is dropped.
    ///
    /// A guard is made by `convert`: one made by `work` would be dropped by the next run. After a
    /// failed write the guard is dropped, because its changes may be on disk nevertheless.
    ///
    /// # Errors
    /// Fails with the error of `work`, or when the store fails.
    pub fn transaction_then<T, U, E, W, C>(
        &self,
        work: W,
        convert: C,
    ) -> impl Future<Output = Result<U, E>> + Send + use<T, U, E, W, C>
    where
        W: Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        C: FnOnce(T) -> U + Send + 'static,
        T: Send + 'static,
        U: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (caller, receiver) = oneshot::channel();
        let job = Box::new(QueuedTransaction::new(work, convert, caller));
        match &self.writer {
            // If the thread is gone, the job is dropped with its sender, and the receiver reports
            // `Closed`.
            StoreWriter::Thread(jobs) => drop(jobs.send(job)),
            #[cfg(test)]
            StoreWriter::Inline(queue) => InlineWriter::submit(queue, &*self.backend, job),
        }
        async move { receiver.await.unwrap_or_else(|_| Err(Error::Closed.into())) }
    }

    /// Returns the value of `key`. Sees only what is on disk.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub async fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        self.read(move |backend| backend.get(&key)).await
    }

    /// Returns the values of `keys`, in their order, with one hop to the threads that read. Sees only
    /// what is on disk; concurrent writes may or may not be included.
    ///
    /// # Errors
    /// Fails when one cannot be read.
    pub async fn get_all(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.read(move |backend| backend.get_all(&keys)).await
    }

    /// Returns the records whose keys start with `prefix`, in key order. Sees only what is on disk;
    /// concurrent writes may or may not be included.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn scan(&self, prefix: Vec<u8>) -> Result<Vec<StoreRecord>, Error> {
        self.read(move |backend| scan(backend, &prefix)).await
    }

    /// Returns the records whose keys start with `prefix` as a consistent snapshot, in key order.
    /// Concurrent transactions wait for it.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn snapshot(&self, prefix: Vec<u8>) -> Result<Vec<StoreRecord>, Error> {
        self.transaction(move |transaction| transaction.scan(&prefix))
            .await
    }

    /// Runs `script` in one step for all servers that share the store, on state that is no record:
    /// the keys `keys`. May run twice if its first answer is lost. Returns the numbers that it returns.
    ///
    /// # Errors
    /// Fails when the store is not shared, or cannot be reached.
    pub async fn run_script(
        &self,
        script: &'static RedisScript,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Vec<i64>, Error> {
        self.read(move |backend| backend.run_script(script, &keys, arguments))
            .await
    }

    /// Runs a read on the blocking thread pool.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        #[cfg(test)]
        if matches!(self.writer, StoreWriter::Inline(_)) {
            return work(&*self.backend);
        }
        let backend = Arc::clone(&self.backend);
        self.tracker
            .spawn_blocking(move || work(&*backend))
            .await
            .map_err(|_| Error::Closed)?
    }
}

fn scan(backend: &dyn Backend, prefix: &[u8]) -> Result<Vec<StoreRecord>, Error> {
    let mut records = Vec::new();
    for_each_record(backend, prefix, |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}
