//! Space that files take, as records that all servers change.
//!
//! The total of a project, and that of the contents in the store, count the files and the unfinished
//! ones. An unfinished file has a record of what it has reserved, which expires unless its server
//! renews it, so that a crash gives the space back.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use tokio::time::Instant;

use super::Error;
use super::content_parts::ContentHeader;
use super::content_parts::HEADERS;
use super::content_parts::remove_unfinished;
use super::record::TABLE;
use super::record::read_file;
use super::usage::SpaceLimits;
use crate::domain::unix_now;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;

/// Table of totals in bytes: `project`, a null character and the project, or `store`.
const TOTALS: StoreTable = StoreTable::new("file-usage");
/// Table of unfinished files: id -> [`UnfinishedFile`].
const UNFINISHED: StoreTable = StoreTable::new("file-drafts");
/// Size that is reserved at once, in bytes, so that few writes of a file change the totals. What is not
/// needed is given back at its end.
const STEP_BYTES: u64 = 4 << 20;
/// Time without a renewal after which an unfinished file is removed, in seconds.
const UNFINISHED_SECONDS: u64 = 60 * 60;
/// Time after which the record of an unfinished file is renewed by its next write.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// File that is being written by one of the servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct UnfinishedFile {
    project: String,
    /// Reserved space. What is written is never more.
    bytes: u64,
    is_in_store: bool,
    expires_at: u64,
}

impl Stored for UnfinishedFile {
    const KIND: &'static str = "unfinished file";
}

/// Bytes reserved for an unfinished file. Given back on drop, with its parts in the store, unless they
/// are kept.
#[derive(Debug)]
pub(super) struct StoredReservation {
    store: Store,
    id: String,
    project: String,
    is_in_store: bool,
    limits: SpaceLimits,
    reserved: u64,
    used: u64,
    renewed_at: Instant,
    /// True if there may be a record.
    is_begun: bool,
    is_kept: AtomicBool,
}

impl StoredReservation {
    /// Creates an empty reservation for the file `id` of `project`.
    pub(super) fn new(
        store: &Store,
        id: &str,
        project: &str,
        is_in_store: bool,
        limits: SpaceLimits,
    ) -> Self {
        Self {
            store: store.clone(),
            id: id.to_owned(),
            project: project.to_owned(),
            is_in_store,
            limits,
            reserved: 0,
            used: 0,
            renewed_at: Instant::now(),
            is_begun: false,
            is_kept: AtomicBool::new(false),
        }
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// Fails when a total would exceed its limit, or the file was given up by the other servers.
    pub(super) async fn reserve_more(&mut self, bytes: u64) -> Result<(), Error> {
        let used = self.used.saturating_add(bytes);
        let missing = used.saturating_sub(self.reserved);
        if missing > 0 {
            let step = missing.max(STEP_BYTES);
            match self.extend(step).await {
                Err(Error::Full { .. } | Error::StoreFull { .. }) if step > missing => {
                    self.extend(missing).await?;
                }
                extended => extended?,
            }
        } else if self.is_begun && self.renewed_at.elapsed() >= RENEWAL_INTERVAL {
            self.extend(0).await?;
        }
        self.used = used;
        Ok(())
    }

    /// Reserves `more` bytes, and renews the record.
    async fn extend(&mut self, more: u64) -> Result<(), Error> {
        let is_new = self.reserved == 0;
        self.is_begun = true;
        let id = self.id.clone();
        let limits = self.limits;
        let unfinished = UnfinishedFile {
            project: self.project.clone(),
            bytes: self.reserved.saturating_add(more),
            is_in_store: self.is_in_store,
            expires_at: 0,
        };
        let work = move |transaction: &mut Transaction<'_>| {
            if !is_new && !is_begun(transaction, &id)? {
                return Err(Error::Abandoned);
            }
            take(transaction, &unfinished, more, limits)?;
            put(transaction, &id, unfinished.clone())?;
            Ok(())
        };
        self.store.transaction(work).await?;
        self.reserved = self.reserved.saturating_add(more);
        self.renewed_at = Instant::now();
        Ok(())
    }

    /// Gives back what was not needed, and renews the record until the file is recorded.
    ///
    /// # Errors
    /// Fails when the file was given up by the other servers, or the store fails.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        if !self.is_begun {
            return Ok(());
        }
        let id = self.id.clone();
        let used = self.used;
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(stored) = transaction.get(&UNFINISHED.key(&id))? else {
                return Err(Error::Abandoned);
            };
            let unfinished: UnfinishedFile = decode_record(&id, &stored)?;
            let surplus = unfinished.bytes.saturating_sub(used);
            give_back(transaction, &unfinished, surplus)?;
            let settled = UnfinishedFile {
                bytes: used,
                ..unfinished
            };
            put(transaction, &id, settled)?;
            Ok(())
        };
        self.store.transaction(work).await?;
        self.reserved = used;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.used
    }

    pub(super) fn project(&self) -> &str {
        &self.project
    }

    /// Makes the space that of the file, in the transaction that records it.
    pub(super) fn enter(&self, transaction: &mut Transaction<'_>) {
        if self.is_begun {
            transaction.remove(UNFINISHED.key(&self.id));
        }
    }

    /// Keeps the bytes in use after the drop, until the file is removed.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for StoredReservation {
    fn drop(&mut self) {
        if !self.is_begun || *self.is_kept.get_mut() {
            return;
        }
        let id = self.id.clone();
        // Changes nothing if the file is recorded. Without an answer the record expires.
        let work = move |transaction: &mut Transaction<'_>| abandon(transaction, &id);
        drop(self.store.transaction(work));
    }
}

/// Returns true if the file `id` is unfinished, and was not given up.
pub(super) fn is_begun(transaction: &Transaction<'_>, id: &str) -> Result<bool, store::Error> {
    Ok(transaction.get(&UNFINISHED.key(id))?.is_some())
}

/// Gives back the space of a file of `project` that is removed. `stored_bytes` is what it has in the
/// store.
pub(super) fn release(
    transaction: &mut Transaction<'_>,
    project: &str,
    bytes: u64,
    stored_bytes: u64,
) -> Result<(), store::Error> {
    lower(transaction, project_key(project), bytes)?;
    lower(transaction, store_key(), stored_bytes)
}

/// Removes unfinished files that their servers have not renewed. Returns their number.
///
/// # Errors
/// Fails when the store fails.
pub(super) async fn remove_abandoned(store: &Store) -> Result<usize, store::Error> {
    let mut removed = 0;
    let own_now = unix_now();
    for (key, stored) in store.scan(UNFINISHED.key("")).await? {
        let id = String::from_utf8_lossy(UNFINISHED.key_suffix(&key)).into_owned();
        let read: Result<UnfinishedFile, _> = decode_record(&id, &stored);
        // The clock of this server only spares transactions.
        if skip_unreadable(read)?.is_none_or(|unfinished| unfinished.expires_at > own_now) {
            continue;
        }
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(stored) = transaction.get(&UNFINISHED.key(&id))? else {
                return Ok(false);
            };
            let unfinished: UnfinishedFile = decode_record(&id, &stored)?;
            let is_over = unfinished.expires_at <= transaction.now();
            if is_over {
                abandon(transaction, &id)?;
            }
            Ok::<_, store::Error>(is_over)
        };
        removed += usize::from(store.transaction(work).await?);
    }
    Ok(removed)
}

/// Counts all totals again: an earlier version of the program counts none.
///
/// # Errors
/// Fails when the store fails.
pub(super) async fn recount(store: &Store) -> Result<(), store::Error> {
    let work = |transaction: &mut Transaction<'_>| {
        let known: BTreeMap<_, _> = transaction.scan(&TOTALS.key(""))?.into_iter().collect();
        let mut totals: BTreeMap<Vec<u8>, u64> = known.keys().map(|key| (key.clone(), 0)).collect();
        let mut add = |key: Vec<u8>, bytes: u64| {
            let total = totals.entry(key).or_default();
            *total = total.saturating_add(bytes);
        };
        for entry in transaction.scan(&TABLE.key(""))? {
            // Unreadable records were logged, and take no space that is known.
            if let (Some((project, _)), Ok(file)) =
                (TABLE.owner_and_id(&entry.0), read_file(&entry))
            {
                add(project_key(&project), file.bytes);
            }
        }
        for (_, header) in transaction.scan(&HEADERS.key(""))? {
            if let Ok(header) = decode_record::<ContentHeader>("", &header) {
                add(store_key(), header.bytes);
            }
        }
        for (_, unfinished) in transaction.scan(&UNFINISHED.key(""))? {
            if let Ok(unfinished) = decode_record::<UnfinishedFile>("", &unfinished) {
                add(project_key(&unfinished.project), unfinished.bytes);
                if unfinished.is_in_store {
                    add(store_key(), unfinished.bytes);
                }
            }
        }
        for (key, total) in totals {
            if total_of(known.get(&key).map(Vec::as_slice)) != total {
                set(transaction, key, total);
            }
        }
        Ok(())
    };
    store.transaction(work).await
}

/// Removes the unfinished file `id` with its parts, unless it is recorded or removed already.
fn abandon(transaction: &mut Transaction<'_>, id: &str) -> Result<(), store::Error> {
    let key = UNFINISHED.key(id);
    let Some(stored) = transaction.get(&key)? else {
        return Ok(());
    };
    let unfinished: UnfinishedFile = decode_record(id, &stored)?;
    transaction.remove(key);
    give_back(transaction, &unfinished, unfinished.bytes)?;
    if unfinished.is_in_store {
        remove_unfinished(transaction, id, unfinished.bytes);
    }
    Ok(())
}

/// Adds `more` bytes of an unfinished file to the totals.
fn take(
    transaction: &mut Transaction<'_>,
    unfinished: &UnfinishedFile,
    more: u64,
    limits: SpaceLimits,
) -> Result<(), Error> {
    let SpaceLimits {
        project_bytes,
        store_bytes,
    } = limits;
    if !raise(
        transaction,
        project_key(&unfinished.project),
        more,
        project_bytes,
    )? {
        return Err(Error::Full {
            limit: project_bytes,
        });
    }
    if unfinished.is_in_store && !raise(transaction, store_key(), more, store_bytes)? {
        return Err(Error::StoreFull { limit: store_bytes });
    }
    Ok(())
}

fn give_back(
    transaction: &mut Transaction<'_>,
    unfinished: &UnfinishedFile,
    bytes: u64,
) -> Result<(), store::Error> {
    let stored_bytes = if unfinished.is_in_store { bytes } else { 0 };
    release(transaction, &unfinished.project, bytes, stored_bytes)
}

fn put(
    transaction: &mut Transaction<'_>,
    id: &str,
    unfinished: UnfinishedFile,
) -> Result<(), store::Error> {
    let renewed = UnfinishedFile {
        expires_at: transaction.now().saturating_add(UNFINISHED_SECONDS),
        ..unfinished
    };
    transaction.put(UNFINISHED.key(id), encode_record(&renewed)?);
    Ok(())
}

/// Adds `more` to a total. Returns false if it would exceed `limit`.
fn raise(
    transaction: &mut Transaction<'_>,
    key: Vec<u8>,
    more: u64,
    limit: u64,
) -> Result<bool, store::Error> {
    if more == 0 {
        return Ok(true);
    }
    let after = total_of(transaction.get(&key)?.as_deref()).saturating_add(more);
    if after <= limit {
        set(transaction, key, after);
    }
    Ok(after <= limit)
}

/// Takes `less` from a total.
fn lower(transaction: &mut Transaction<'_>, key: Vec<u8>, less: u64) -> Result<(), store::Error> {
    if less > 0 {
        let before = total_of(transaction.get(&key)?.as_deref());
        set(transaction, key, before.saturating_sub(less));
    }
    Ok(())
}

fn set(transaction: &mut Transaction<'_>, key: Vec<u8>, total: u64) {
    if total == 0 {
        transaction.remove(key);
    } else {
        transaction.put(key, total.to_be_bytes().to_vec());
    }
}

fn total_of(stored: Option<&[u8]>) -> u64 {
    let bytes = stored.and_then(|stored| stored.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

fn project_key(project: &str) -> Vec<u8> {
    TOTALS.key(format!("project\0{project}"))
}

fn store_key() -> Vec<u8> {
    TOTALS.key("store")
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    const LIMITS: SpaceLimits = SpaceLimits {
        project_bytes: 10,
        store_bytes: u64::MAX,
    };

    fn reservation(store: &Store, id: &str) -> StoredReservation {
        StoredReservation::new(store, id, "p", true, LIMITS)
    }

    #[test]
    fn unfinished_file_of_each_version_is_read() {
        let unfinished: UnfinishedFile =
            read_earlier_record(include_bytes!("fixtures/file-draft-v1.json"));
        assert_eq!(
            (unfinished.bytes, unfinished.is_in_store),
            (STEP_BYTES, true)
        );
    }

    #[tokio::test]
    async fn unfinished_file_of_a_lost_server_gives_its_space_back_after_its_time() {
        let store = Store::in_memory(TaskTracker::new());
        let mut lost = reservation(&store, "lost");
        lost.reserve_more(10).await.unwrap();
        // As if the server had ended without giving anything back.
        lost.keep();
        drop(lost);
        assert_eq!(remove_abandoned(&store).await.unwrap(), 0);
        let refused = reservation(&store, "other").reserve_more(1).await;
        assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
        let ended = store.transaction(|transaction| {
            let unfinished = UnfinishedFile {
                project: "p".to_owned(),
                bytes: 10,
                is_in_store: true,
                expires_at: 1,
            };
            transaction.put(UNFINISHED.key("lost"), encode_record(&unfinished)?);
            Ok::<_, store::Error>(())
        });
        ended.await.unwrap();
        assert_eq!(remove_abandoned(&store).await.unwrap(), 1);
        let mut other = reservation(&store, "other");
        other.reserve_more(10).await.unwrap();
    }

    #[tokio::test]
    async fn file_that_the_others_have_given_up_is_not_continued() {
        let store = Store::in_memory(TaskTracker::new());
        let mut slow = reservation(&store, "slow");
        slow.reserve_more(4).await.unwrap();
        let given_up = store.transaction(|transaction| abandon(transaction, "slow"));
        given_up.await.unwrap();
        let continued = slow.reserve_more(4).await;
        assert!(matches!(continued, Err(Error::Abandoned)), "{continued:?}");
        let settled = slow.settle().await;
        assert!(matches!(settled, Err(Error::Abandoned)), "{settled:?}");
    }

    #[tokio::test]
    async fn totals_are_counted_again_from_the_records() {
        let store = Store::in_memory(TaskTracker::new());
        let mut running = reservation(&store, "running");
        running.reserve_more(7).await.unwrap();
        let counted = store.scan(TOTALS.key("")).await.unwrap();
        let spoiled = store.transaction(|transaction| {
            transaction.remove(store_key());
            set(transaction, project_key("p"), 1000);
            set(transaction, project_key("gone"), 1);
            Ok::<_, store::Error>(())
        });
        spoiled.await.unwrap();
        recount(&store).await.unwrap();
        assert_eq!(store.scan(TOTALS.key("")).await.unwrap(), counted);
    }
}
