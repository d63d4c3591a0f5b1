//! Locks over the servers that share a store: on sessions, conversations and chosen ids of tasks.
//!
//! A server locks within itself first, with a `RunRegistry`, so an entry of its own epoch that it finds
//! here is left over from a release that has not come through. An entry of another epoch holds while
//! that epoch has a lease, as a hold does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::storage::store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;

use super::Error;
use super::Ledger;
use super::work_owners::leased_epoch;

/// Locked things: kind, owner and id to the [`LockEntry`].
const LOCKS: StoreTable = StoreTable::new("locks");
/// Interval at which a lock of another server is asked for again.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Interval at which locks are released that could not be released before.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Epoch of the server that holds a lock, and a number that no other lock of this epoch has.
type LockEntry = [u8; 16];

/// Locks over all servers. Clones share them.
///
/// The default one is for a server that shares its store with no other: it writes nothing, and all
/// locks are free.
#[derive(Debug, Clone, Default)]
pub struct SharedLocks(Option<Arc<LockHolder>>);

/// Kind of what is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Session that answers a message.
    Session,
    /// Conversation that is continued or changed.
    Conversation,
    /// Chosen id of a task that is being created.
    TaskId,
}

/// Lock over all servers, released on drop. The release is queued then, and takes a moment;
/// [`release_in`](Self::release_in) releases at once.
#[derive(Debug, Default)]
pub struct SharedLock(Option<HeldLock>);

#[derive(Debug)]
struct LockHolder {
    ledger: Ledger,
    next_number: AtomicU64,
    /// Locks whose release is not confirmed.
    unreleased: Mutex<HashMap<Vec<u8>, LockEntry>>,
}

#[derive(Debug)]
struct HeldLock {
    holder: Arc<LockHolder>,
    key: Vec<u8>,
    entry: LockEntry,
    is_released: Arc<AtomicBool>,
}

impl LockKind {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Conversation => "conversation",
            Self::TaskId => "task-id",
        }
    }
}

impl SharedLocks {
    /// Creates the locks of the servers that share the store of `ledger`; once for each start.
    pub fn of(ledger: &Ledger) -> Self {
        let is_shared = ledger.0.store.is_shared();
        Self(is_shared.then(|| {
            Arc::new(LockHolder {
                ledger: ledger.clone(),
                next_number: AtomicU64::new(0),
                unreleased: Mutex::default(),
            })
        }))
    }

    /// Starts a task that removes the locks of servers that are gone, and then releases what could not be
    /// released while the store was away, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let Some(holder) = self.0.clone() else {
            return;
        };
        tracker.spawn(async move {
            if let Err(error) = holder.remove_void().await {
                tracing::warn!(error = %ErrorChain(&error), "locks of lost servers not removed");
            }
            while stop
                .run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL))
                .await
                .is_some()
            {
                holder.retry_releases().await;
            }
        });
    }

    /// Locks `id` of `owner`, which the caller has locked within this server. Returns `None` if another
    /// server holds it. If the future is dropped, the lock is released.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn try_take(
        &self,
        kind: LockKind,
        owner: &str,
        id: &str,
    ) -> Result<Option<SharedLock>, store::Error> {
        let Some(holder) = &self.0 else {
            return Ok(Some(SharedLock::default()));
        };
        let key = LOCKS.key(format!("{}\0{owner}\0{id}", kind.name()));
        let number = holder.next_number.fetch_add(1, Relaxed);
        let ledger = holder.ledger.clone();
        let locked = key.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            let epoch = leased_epoch(&ledger, transaction)?;
            let found = transaction.get(&locked)?;
            if let Some(other) = found.as_deref().and_then(epoch_of)
                && other != epoch
                && ledger.0.lease.live_epochs(transaction)?.contains(&other)
            {
                return Ok(None);
            }
            let entry = entry_of(epoch, number);
            transaction.put(locked.clone(), entry.to_vec());
            Ok::<_, Error>(Some(entry))
        };
        let holder = Arc::clone(holder);
        let store = holder.ledger.0.store.clone();
        // The guard is made even if the future is dropped, and is dropped then.
        let guard = move |entry: Option<LockEntry>| {
            entry.map(|entry| {
                SharedLock(Some(HeldLock {
                    holder,
                    key,
                    entry,
                    is_released: Arc::default(),
                }))
            })
        };
        let taken = store.transaction_then(work, guard).await;
        taken.map_err(Error::into_store_error)
    }

    /// Locks as [`try_take`](Self::try_take) does, and waits for another server for `max_wait` at most.
    ///
    /// # Errors
    /// As [`try_take`](Self::try_take).
    pub async fn take_within(
        &self,
        max_wait: Duration,
        kind: LockKind,
        owner: &str,
        id: &str,
    ) -> Result<Option<SharedLock>, store::Error> {
        let deadline = Instant::now() + max_wait;
        loop {
            let taken = self.try_take(kind, owner, id).await?;
            if taken.is_some() || Instant::now() >= deadline {
                return Ok(taken);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl SharedLock {
    /// Releases the lock with the changes of `transaction`, which may run again.
    ///
    /// # Errors
    /// [`store::Error::Fenced`] if another server has taken the lock, because this one was silent for too
    /// long: what was read under it may have changed.
    pub fn release_in(&self, transaction: &mut Transaction<'_>) -> Result<(), store::Error> {
        let Some(held) = &self.0 else {
            return Ok(());
        };
        if transaction.get(&held.key)?.as_deref() != Some(held.entry.as_slice()) {
            return Err(store::Error::Fenced);
        }
        transaction.remove(held.key.clone());
        let is_released = Arc::clone(&held.is_released);
        transaction.after_write(move |is_made| is_released.store(is_made, Relaxed));
        Ok(())
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if self.is_released.load(Relaxed) {
            return;
        }
        let key = std::mem::take(&mut self.key);
        self.holder.lock().insert(key.clone(), self.entry);
        // Queued by the call itself.
        drop(LockHolder::release(&self.holder, key, self.entry));
    }
}

impl LockHolder {
    /// Releases a lock, unless it is another one by now.
    fn release(
        this: &Arc<Self>,
        key: Vec<u8>,
        entry: LockEntry,
    ) -> impl Future<Output = Result<(), store::Error>> + Send + use<> {
        let holder = Arc::clone(this);
        let work = move |transaction: &mut Transaction<'_>| {
            if transaction.get(&key)?.as_deref() == Some(entry.as_slice()) {
                transaction.remove(key.clone());
            }
            let (holder, key) = (Arc::clone(&holder), key.clone());
            transaction.after_write(move |is_made| {
                if is_made {
                    holder.forget(&key, entry);
                }
            });
            Ok(())
        };
        this.ledger.0.store.transaction(work)
    }

    /// Removes the locks of servers that are gone, which nobody may ask for again.
    async fn remove_void(&self) -> Result<(), store::Error> {
        let ledger = self.ledger.clone();
        let removed = self.ledger.0.store.transaction(move |transaction| {
            let live = ledger.0.lease.live_epochs(transaction)?;
            for (key, entry) in transaction.scan(&LOCKS.key(""))? {
                if epoch_of(&entry).is_none_or(|epoch| !live.contains(&epoch)) {
                    transaction.remove(key);
                }
            }
            Ok::<_, Error>(())
        });
        removed.await.map_err(Error::into_store_error)
    }

    async fn retry_releases(self: &Arc<Self>) {
        let unreleased: Vec<_> = {
            let unreleased = self.lock();
            let entries = unreleased.iter();
            entries.map(|(key, entry)| (key.clone(), *entry)).collect()
        };
        for (key, entry) in unreleased {
            // The store has logged why it fails, and the next round tries again.
            if Self::release(self, key, entry).await.is_err() {
                return;
            }
        }
    }

    fn forget(&self, key: &[u8], entry: LockEntry) {
        let mut unreleased = self.lock();
        if unreleased.get(key) == Some(&entry) {
            unreleased.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, LockEntry>> {
        let unreleased = self.unreleased.lock();
        unreleased.unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry_of(epoch: u64, number: u64) -> LockEntry {
    let mut entry = LockEntry::default();
    let (of_epoch, of_number) = entry.split_at_mut(8);
    of_epoch.copy_from_slice(&epoch.to_be_bytes());
    of_number.copy_from_slice(&number.to_be_bytes());
    entry
}

fn epoch_of(entry: &[u8]) -> Option<u64> {
    let epoch = entry.get(..8)?.try_into().ok()?;
    Some(u64::from_be_bytes(epoch))
}
