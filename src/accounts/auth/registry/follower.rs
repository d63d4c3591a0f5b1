//! Follows the changes that other servers on the same store make to keys and projects.

use std::collections::HashSet;
use std::sync;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Registry;
use crate::accounts::auth::Error;
use crate::accounts::auth::generation::ChangedItem;
use crate::accounts::auth::generation::RegistryGeneration;
use crate::accounts::auth::key::KeyRecord;
use crate::accounts::auth::key_index::KeyIndex;
use crate::accounts::auth::project::Project;
use crate::accounts::auth::records;
use crate::accounts::auth::tables;
use crate::accounts::auth::text::KeyPrefix;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;

/// Interval at which an idle server looks for changes, for what asks memory alone: webhooks and
/// figures.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// Follower of a shared registry.
///
/// A call of [`refresh`](Self::refresh) compares the generation in the store with that of the index,
/// by a read that begins after the call. Calls at the same time share one read. While the store is known
/// to be away, one call at a time tries to reach it, and the others fail at once.
///
/// Changes are read and applied on the writer thread of the store, as those of this server are, so
/// that none replaces a later one.
#[derive(Debug)]
pub(in crate::accounts::auth) struct RegistryFollower {
    store: Store,
    index: Arc<KeyIndex>,
    /// Number of calls until now.
    calls: AtomicU64,
    state: Mutex<FollowerState>,
    /// Beginning of the last read that has succeeded.
    reached_at: sync::Mutex<Instant>,
    /// Failure of the last read, if that could not reach the store.
    failure: sync::Mutex<Option<store::Error>>,
}

#[derive(Debug)]
struct FollowerState {
    /// Generation that the index has reached, or passed.
    reached: RegistryGeneration,
    /// Number of calls that had come before the last read began.
    answered: u64,
    /// Outcome of that read.
    outcome: Result<(), store::Error>,
}

/// Records that replace those of the index.
#[derive(Debug, Default)]
struct IndexUpdate {
    /// Keys, `None` for those that the store does not have.
    keys: Vec<(KeyPrefix, Option<KeyRecord>)>,
    /// Projects, `None` for deleted ones.
    projects: Vec<(String, Option<Project>)>,
    /// True if all other keys and projects are gone.
    is_everything: bool,
}

impl RegistryFollower {
    /// Creates the follower of `index`, which is loaded after this.
    ///
    /// # Errors
    /// Fails when the generation cannot be read.
    pub(super) async fn open(store: Store, index: Arc<KeyIndex>) -> Result<Self, Error> {
        let reached_at = sync::Mutex::new(Instant::now());
        let record = store.get(RegistryGeneration::key()).await?;
        let state = FollowerState {
            reached: RegistryGeneration::decode(record.as_deref())?,
            answered: 0,
            outcome: Ok(()),
        };
        Ok(Self {
            store,
            index,
            calls: AtomicU64::new(0),
            state: Mutex::new(state),
            reached_at,
            failure: sync::Mutex::default(),
        })
    }

    /// Time since the index was known to be up to date.
    pub(in crate::accounts::auth) fn since_reached(&self) -> Duration {
        self.lock_reached_at().elapsed()
    }

    fn lock_reached_at(&self) -> MutexGuard<'_, Instant> {
        let reached_at = self.reached_at.lock();
        reached_at.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<store::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the index to a generation that is not older than this call.
    ///
    /// # Errors
    /// Fails when the store cannot be read, or could not be reached a moment ago and another call tries to.
    /// The index may be out of date then.
    pub(in crate::accounts::auth) async fn refresh(&self) -> Result<(), Error> {
        let call = self.calls.fetch_add(1, Ordering::AcqRel);
        let mut state = if let Ok(state) = self.state.try_lock() {
            state
        } else {
            // A store that hangs takes seconds to fail, at each attempt.
            let failure = self.lock_failure().clone();
            if let Some(error) = failure {
                return Err(error.into());
            }
            self.state.lock().await
        };
        if call >= state.answered {
            let answered = self.calls.load(Ordering::Acquire);
            let begun = Instant::now();
            let caught_up = self.catch_up(state.reached).await;
            state.answered = answered;
            let unreachable = caught_up.as_ref().err();
            *self.lock_failure() = unreachable
                .filter(|error| matches!(error, store::Error::Unreachable(_)))
                .cloned();
            state.outcome = match caught_up {
                Ok(reached) => {
                    state.reached = reached;
                    *self.lock_reached_at() = begun;
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        state.outcome.clone().map_err(Error::from)
    }

    /// Applies the changes since `reached`. Returns the generation that the index has then.
    async fn catch_up(
        &self,
        reached: RegistryGeneration,
    ) -> Result<RegistryGeneration, store::Error> {
        let record = self.store.get(RegistryGeneration::key()).await?;
        let present = RegistryGeneration::decode(record.as_deref()).map_err(to_store_error)?;
        if present == reached {
            return Ok(reached);
        }
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            let present = RegistryGeneration::load(transaction)?;
            let update = match reached.changes_until(present, transaction)? {
                Some(items) => read_items(transaction, items)?,
                None => read_everything(transaction)?,
            };
            let index = Arc::clone(&index);
            transaction.after_write(move |is_made| {
                if is_made {
                    update.apply(&index);
                }
            });
            Ok::<_, Error>(present)
        };
        self.store.transaction(work).await.map_err(to_store_error)
    }
}

impl Registry {
    /// Looks for changes of other servers from time to time until `stop` is cancelled, if the store
    /// is shared. Requests look for them by themselves, so this is for what has no request.
    pub fn spawn_refresh(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let Some(follower) = self.follower.clone() else {
            return;
        };
        tracker.spawn(async move {
            let sleep = || tokio::time::sleep(IDLE_INTERVAL);
            while stop.run_until_cancelled(sleep()).await.is_some() {
                if let Err(error) = follower.refresh().await {
                    tracing::debug!(error = %ErrorChain(&error), "keys of other servers not read");
                }
            }
        });
    }
}

impl IndexUpdate {
    fn apply(self, index: &KeyIndex) {
        if self.is_everything {
            let keys: HashSet<_> = self.keys.iter().map(|(prefix, _)| *prefix).collect();
            let projects: HashSet<_> = self.projects.iter().map(|(id, _)| id.as_str()).collect();
            index.retain(&keys, &projects);
        }
        for (id, project) in &self.projects {
            match project {
                Some(project) => index.put_project(project),
                None => index.remove_project(id),
            }
        }
        for (prefix, stored) in &self.keys {
            match stored {
                Some(stored) => index.put(*prefix, stored, 0),
                None => index.remove(*prefix),
            }
        }
    }
}

/// Reads changed items as they are now.
fn read_items(
    transaction: &Transaction<'_>,
    items: Vec<ChangedItem>,
) -> Result<IndexUpdate, Error> {
    let mut update = IndexUpdate::default();
    // Each once, however often it was changed.
    for item in items.into_iter().collect::<HashSet<_>>() {
        match item {
            ChangedItem::Key(prefix) => {
                let found = match tables::get_key(transaction, prefix) {
                    Err(Error::UnknownKey(_)) => None,
                    found => Some(found?),
                };
                update.keys.push((prefix, found));
            }
            ChangedItem::Project(id) => {
                let found = match tables::get_project(transaction, &id) {
                    Err(Error::UnknownProject(_)) => None,
                    found => Some(found?),
                };
                update.projects.push((id, found));
            }
        }
    }
    Ok(update)
}

/// Reads all keys and projects.
fn read_everything(transaction: &Transaction<'_>) -> Result<IndexUpdate, Error> {
    let mut update = IndexUpdate {
        is_everything: true,
        ..IndexUpdate::default()
    };
    for (key, record) in transaction.scan(&tables::PROJECTS.key(""))? {
        let id = String::from_utf8_lossy(tables::PROJECTS.key_suffix(&key)).into_owned();
        let project = records::decode(&record, &id)?;
        update.projects.push((id, Some(project)));
    }
    for (key, record) in transaction.scan(&tables::KEYS.key(""))? {
        let (prefix, stored) = tables::decode_key(&key, &record)?;
        update.keys.push((prefix, Some(stored)));
    }
    Ok(update)
}

pub(super) fn to_store_error(error: Error) -> store::Error {
    match error {
        Error::Store(error) => error,
        error => store::Error::Unreadable {
            kind: "registry",
            name: "of keys and projects".to_owned(),
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
