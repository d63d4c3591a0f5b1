//! Delivery queues: one for each owner, and each host of an owner's own receivers. A slow receiver
//! blocks only its own queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// Maximum number of pending events in a queue.
pub(super) const ROOM: usize = 1000;
/// Maximum number of concurrent attempts in a queue.
const AT_ONCE: usize = 4;

/// Delivery queues by their key.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Lane>>);

/// Delivery queue. Clones share its limits.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    room: Arc<Semaphore>,
    tries: Arc<Semaphore>,
}

impl Lanes {
    /// Queue with the key `owner`, created if missing.
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

    /// Reserves a slot for one pending event; `None` if the queue is full.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Waits for a free slot for one attempt.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.tries).acquire_owned().await.ok()
    }
}
