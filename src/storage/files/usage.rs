//! Space that files take, per project.
//!
//! A server that shares its records with no other counts in memory; otherwise the store counts
//! ([`space_records`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::Error;
use super::space_records;
use super::space_records::StoredReservation;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::Transaction;

/// Bytes in use, by project. Clones share the state.
#[derive(Debug, Clone, Default)]
pub(super) struct ProjectUsage(Arc<Mutex<HashMap<String, u64>>>);

/// Counter of the bytes in use. Clones share the state.
#[derive(Debug, Clone)]
pub(super) enum SpaceCounter {
    /// Memory of the one server.
    Local(ProjectUsage),
    /// Records that all servers change.
    Stored(Store),
}

/// Maximum totals, in bytes; `u64::MAX` for no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpaceLimits {
    /// All files of the project.
    pub(super) project_bytes: u64,
    /// All contents in the store.
    pub(super) store_bytes: u64,
}

/// Bytes reserved for a file of a project. Released on drop unless they are kept.
#[derive(Debug)]
pub(super) enum SpaceReservation {
    /// In memory.
    Local(LocalReservation),
    /// In the store.
    Stored(StoredReservation),
}

/// Bytes reserved in memory. Released on drop unless they are kept.
#[derive(Debug)]
pub(super) struct LocalReservation {
    space: ProjectUsage,
    project: String,
    bytes: u64,
    limit: u64,
    is_kept: AtomicBool,
}

impl ProjectUsage {
    /// Counts a file of `project` that is there already.
    pub(super) fn add(&self, project: &str, bytes: u64) {
        self.reserve(project, bytes, u64::MAX);
    }

    /// Releases `bytes` of `project`.
    fn release(&self, project: &str, bytes: u64) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(project) {
            *used = used.saturating_sub(bytes);
        }
    }

    /// Reserves `bytes` for `project`. Returns false if the project would exceed `limit`.
    fn reserve(&self, project: &str, bytes: u64, limit: u64) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.entry(project.to_owned()).or_default();
        let after = used.saturating_add(bytes);
        if after > limit {
            return false;
        }
        *used = after;
        true
    }
}

impl SpaceCounter {
    /// Starts an empty reservation for the file `id` of `project`, whose content comes into the store if
    /// `is_in_store`.
    pub(super) fn begin_reservation(
        &self,
        id: &str,
        project: &str,
        is_in_store: bool,
        limits: SpaceLimits,
    ) -> SpaceReservation {
        match self {
            Self::Local(space) => SpaceReservation::Local(LocalReservation {
                space: space.clone(),
                project: project.to_owned(),
                bytes: 0,
                limit: limits.project_bytes,
                is_kept: AtomicBool::new(false),
            }),
            Self::Stored(store) => {
                let reservation = StoredReservation::new(store, id, project, is_in_store, limits);
                SpaceReservation::Stored(reservation)
            }
        }
    }

    /// Releases the bytes of a file of `project` that `transaction` removes. `stored_bytes` is what it has
    /// in the store.
    pub(super) fn release(
        &self,
        transaction: &mut Transaction<'_>,
        project: &str,
        bytes: u64,
        stored_bytes: u64,
    ) -> Result<(), store::Error> {
        match self {
            Self::Local(space) => {
                let (space, project) = (space.clone(), project.to_owned());
                transaction.after_write(move |is_made| {
                    if is_made {
                        space.release(&project, bytes);
                    }
                });
                Ok(())
            }
            Self::Stored(_) => space_records::release(transaction, project, bytes, stored_bytes),
        }
    }
}

impl SpaceReservation {
    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// Fails when a total would exceed its limit, or the store fails.
    pub(super) async fn reserve_more(&mut self, bytes: u64) -> Result<(), Error> {
        match self {
            Self::Local(local) => local.reserve_more(bytes),
            Self::Stored(stored) => stored.reserve_more(bytes).await,
        }
    }

    /// Gives back what was reserved ahead.
    ///
    /// # Errors
    /// Fails when the store does, or has given up the file.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Stored(stored) => stored.settle().await,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Local(local) => local.bytes,
            Self::Stored(stored) => stored.bytes(),
        }
    }

    pub(super) fn project(&self) -> &str {
        match self {
            Self::Local(local) => &local.project,
            Self::Stored(stored) => stored.project(),
        }
    }

    /// Makes the space that of the file which `transaction` records.
    pub(super) fn enter(&self, transaction: &mut Transaction<'_>) {
        match self {
            Self::Local(_) => {}
            Self::Stored(stored) => stored.enter(transaction),
        }
    }

    /// Keeps the bytes in use after the drop, until they are released.
    pub(super) fn keep(&self) {
        match self {
            Self::Local(local) => local.is_kept.store(true, Ordering::Relaxed),
            Self::Stored(stored) => stored.keep(),
        }
    }
}

impl LocalReservation {
    fn reserve_more(&mut self, bytes: u64) -> Result<(), Error> {
        if !self.space.reserve(&self.project, bytes, self.limit) {
            return Err(Error::Full { limit: self.limit });
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for LocalReservation {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            self.space.release(&self.project, self.bytes);
        }
    }
}
