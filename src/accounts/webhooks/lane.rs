//! What the events of one owner share, so that they are in nobody else's way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// Events of an owner that may wait.
pub(super) const ROOM: usize = 1000;
/// Tries of an owner's events at the same time.
const AT_ONCE: usize = 4;

/// The lanes of all owners.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Lane>>);

/// The way of an owner's events. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    room: Arc<Semaphore>,
    tries: Arc<Semaphore>,
}

impl Lanes {
    /// That of `owner`.
    pub(super) fn of(&self, owner: &str) -> Lane {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .entry(owner.to_owned())
            .or_insert_with(Lane::new)
            .clone()
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM)),
            tries: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// A place for one event, if there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Waits for its turn to try.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.tries).acquire_owned().await.ok()
    }
}
