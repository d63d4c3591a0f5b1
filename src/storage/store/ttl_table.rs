//! Tables of records that have an owner and expire.

use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Backend;
use super::Error;
use super::Store;
use super::StoreTable;
use super::Transaction;
use super::record_parts::RecordWithParts;
use super::record_parts::live_content;
use super::record_parts::read_with_parts;
use super::ttl_index::owner_and_id;
use super::ttl_index::record_key;
use super::ttl_layout::PART;
use super::ttl_layout::RECORD;
use super::ttl_layout::TtlLayout;
use crate::domain::unix_now;
use crate::runtime::setting;
use crate::telemetry::logs::ErrorChain;

/// Interval between removals of expired records.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Time to live and size limits of a TTL table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct TtlLimits {
    /// Time to live of a record.
    #[serde(rename = "ttl_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub time_to_live: Duration,
    /// Maximum number of records. Above it, the oldest of the largest owner are evicted.
    #[serde(rename = "max_stored")]
    #[serde(deserialize_with = "setting::number::<1, { u32::MAX as u64 }, _, _>")]
    pub max_records: u64,
    /// Maximum size of all records, in bytes. Evicts like `max_records`.
    #[serde(rename = "max_stored_bytes")]
    #[serde(deserialize_with = "setting::number::<{ 1 << 20 }, { u32::MAX as u64 }, _, _>")]
    pub max_bytes: u64,
}

/// A table of records with an owner and a time to live (TTL). A record is found only by its owner.
/// Clones share it.
#[derive(Debug, Clone)]
pub struct TtlTable {
    pub(super) store: Store,
    pub(super) layout: TtlLayout,
}

impl TtlTable {
    /// Creates a handle to the records in `table` of `store`.
    pub fn new(store: Store, table: StoreTable, limits: TtlLimits) -> Self {
        Self {
            store,
            layout: TtlLayout { table, limits },
        }
    }

    /// Time after which a record of this table is gone.
    pub fn time_to_live(&self) -> Duration {
        self.layout.limits.time_to_live
    }

    /// Stores `record` as `id` of `owner`, on disk when this returns. Replacing a record keeps its
    /// expiry time and removes its parts.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn put(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<(), Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        self.store
            .transaction(move |transaction| {
                let now = transaction.now();
                layout.put(transaction, &key, &record, now)
            })
            .await
    }

    /// Replaces the record `id` of `owner`, restarts its TTL and removes its parts. Returns false,
    /// and stores nothing, if there is no such record. On disk when this returns.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn replace_and_extend(
        &self,
        owner: &str,
        id: &str,
        record: Vec<u8>,
    ) -> Result<bool, Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        self.store
            .transaction(move |transaction| {
                let now = transaction.now();
                layout.replace_and_extend(transaction, &key, &record, now)
            })
            .await
    }

    /// Stores `record` as new record `id` if `owner` has fewer than `max_records`; returns false
    /// otherwise. Check and write are atomic. On disk when this returns.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn insert_within_quota(
        &self,
        owner: &str,
        id: &str,
        record: Vec<u8>,
        max_records: usize,
    ) -> Result<bool, Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        let max_records = max_records as u64;
        let add = move |transaction: &mut Transaction<'_>| {
            let now = transaction.now();
            layout.insert_within_quota(transaction, &key, &record, now, max_records)
        };
        self.store.transaction(add).await
    }

    /// Runs `work` as [`Store::transaction`] does, to change several records or to read before a
    /// write.
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
        self.store.transaction(work)
    }

    /// Runs `work`, and then `convert` once, as [`Store::transaction_then`] does.
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
        self.store.transaction_then(work, convert)
    }

    /// Returns the record like [`get`](Self::get), within `transaction`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn get_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let key = record_key(owner, id);
        let value = transaction.get(&self.layout.storage_key(RECORD, &key))?;
        Ok(value
            .map(|value| live_content(&key, &value, transaction.now()))
            .transpose()?
            .flatten())
    }

    /// Stores `record` like [`put`](Self::put), within `transaction`.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn put_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
    ) -> Result<(), Error> {
        let now = transaction.now();
        self.layout
            .put(transaction, &record_key(owner, id), record, now)
    }

    /// Replaces the record like [`replace_and_extend`](Self::replace_and_extend), within `transaction`.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn replace_and_extend_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
    ) -> Result<bool, Error> {
        let now = transaction.now();
        self.layout
            .replace_and_extend(transaction, &record_key(owner, id), record, now)
    }

    /// Removes the record like [`remove`](Self::remove), within `transaction`.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn remove_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<bool, Error> {
        let now = transaction.now();
        self.layout
            .remove_unexpired(transaction, &record_key(owner, id), now)
    }

    /// Replaces the record `id`, restarts its TTL and appends `addition`, unless empty, as a part,
    /// within `transaction`. Earlier parts are kept. Returns false if there is no such record.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn append_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
        addition: &[u8],
    ) -> Result<bool, Error> {
        let now = transaction.now();
        self.layout
            .append(transaction, &record_key(owner, id), record, addition, now)
    }

    /// Appends like [`append_in`](Self::append_in), in a transaction of its own. Returns once it is
    /// on disk.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn append(
        &self,
        owner: &str,
        id: &str,
        record: Vec<u8>,
        addition: Vec<u8>,
    ) -> Result<bool, Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        let append = move |transaction: &mut Transaction<'_>| {
            let now = transaction.now();
            layout.append(transaction, &key, &record, &addition, now)
        };
        self.store.transaction(append).await
    }

    /// Returns the record with its parts like [`get_with_parts`](Self::get_with_parts), within `transaction`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn get_with_parts_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<Option<RecordWithParts>, Error> {
        let key = record_key(owner, id);
        let record = || transaction.get(&self.layout.storage_key(RECORD, &key));
        read_with_parts(&key, transaction.now(), record, |part| {
            transaction.get(&self.layout.storage_key(PART, part))
        })
    }

    /// Returns the record `id` of `owner` with its parts.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub async fn get_with_parts(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<RecordWithParts>, Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        let read = move |backend: &dyn Backend| {
            let record = || backend.get(&layout.storage_key(RECORD, &key));
            read_with_parts(&key, unix_now(), record, |part| {
                backend.get(&layout.storage_key(PART, part))
            })
        };
        self.store.read(read).await
    }

    /// Returns all records of `owner` with their ids, without their parts.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn list(&self, owner: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let prefix = self.layout.storage_key(RECORD, &record_key(owner, ""));
        let records = self.store.scan(prefix.clone()).await?;
        let live = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let id = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let content = live_content(&record_key(owner, &id), value, unix_now())?;
            Ok(content.map(|content| (id, content)))
        };
        records
            .iter()
            .filter_map(|entry| live(entry).transpose())
            .collect()
    }

    /// Returns the record `id` of `owner`, without its parts.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = record_key(owner, id);
        let value = self
            .store
            .get(self.layout.storage_key(RECORD, &key))
            .await?;
        Ok(value
            .map(|value| live_content(&key, &value, unix_now()))
            .transpose()?
            .flatten())
    }

    /// Removes the record `id` of `owner`. Returns true if there was one that had not expired.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<bool, Error> {
        let layout = self.layout;
        let key = record_key(owner, id);
        self.store
            .transaction(move |transaction| {
                let now = transaction.now();
                layout.remove_unexpired(transaction, &key, now)
            })
            .await
    }

    /// Returns owner and id of every record, including expired ones.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn list_keys(&self) -> Result<Vec<(String, String)>, Error> {
        let prefix = self.layout.storage_key(RECORD, &[]);
        let records = self.store.scan(prefix.clone()).await?;
        Ok(records
            .iter()
            .filter_map(|(key, _)| owner_and_id(&key[prefix.len()..]))
            .collect())
    }

    /// Starts a task that removes expired records periodically, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: CancellationToken) {
        let table = self.clone();
        self.store.tracker.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = table.sweep(unix_now()).await {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "expired records not removed"
                    );
                }
            }
        });
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), Error> {
        let layout = self.layout;
        while self
            .store
            .transaction(move |transaction| {
                let now = transaction.shared_seconds().unwrap_or(now);
                layout.sweep(transaction, now)
            })
            .await?
        {}
        if self.store.is_shared() {
            self.sweep_deletions(now).await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    #[cfg(test)]
    pub(super) async fn put_at(&self, now: u64, owner: &str, id: &str, record: &[u8]) {
        let layout = self.layout;
        let key = record_key(owner, id);
        let record = record.to_vec();
        self.store
            .transaction(move |transaction| layout.put(transaction, &key, &record, now))
            .await
            .unwrap();
    }

    #[cfg(test)]
    pub(super) async fn replace_and_extend_at(
        &self,
        now: u64,
        owner: &str,
        id: &str,
        record: &[u8],
    ) -> bool {
        let layout = self.layout;
        let key = record_key(owner, id);
        let record = record.to_vec();
        let renewed = self.store.transaction(move |transaction| {
            layout.replace_and_extend(transaction, &key, &record, now)
        });
        renewed.await.unwrap()
    }

    #[cfg(test)]
    pub(super) async fn append_at(
        &self,
        now: u64,
        owner: &str,
        id: &str,
        texts: [&[u8]; 2],
    ) -> bool {
        let layout = self.layout;
        let key = record_key(owner, id);
        let [record, addition] = texts.map(<[u8]>::to_vec);
        let append = move |transaction: &mut Transaction<'_>| {
            layout.append(transaction, &key, &record, &addition, now)
        };
        self.store.transaction(append).await.unwrap()
    }

    #[cfg(test)]
    pub(super) async fn get_at(&self, now: u64, owner: &str, id: &str) -> Option<Vec<u8>> {
        let value = self
            .store
            .get(self.layout.storage_key(RECORD, &record_key(owner, id)))
            .await
            .unwrap();
        value.and_then(|value| live_content(&record_key(owner, id), &value, now).unwrap())
    }

    #[cfg(test)]
    pub(super) async fn insert_within_quota_at(
        &self,
        now: u64,
        owner: &str,
        id: &str,
        max_records: u64,
    ) -> bool {
        let layout = self.layout;
        let key = record_key(owner, id);
        let add = self.store.transaction(move |transaction| {
            layout.insert_within_quota(transaction, &key, b"x", now, max_records)
        });
        add.await.unwrap()
    }
}

#[cfg(test)]
#[path = "ttl_table_tests.rs"]
mod tests;
