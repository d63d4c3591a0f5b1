//! Delivery queues: one for each owner, and each host of an owner's own receivers. A slow receiver
//! blocks only its own queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// Maximum number of pending events in a queue.
pub(super) const MAX_PENDING: usize = 1000;
/// Maximum number of concurrent attempts in a queue.
const MAX_CONCURRENT_ATTEMPTS: usize = 4;

/// Delivery queues by their key.
#[derive(Debug, Default)]
pub(super) struct ReceiverQueues(Mutex<HashMap<String, ReceiverQueue>>);

/// Delivery queue. Clones share its limits.
#[derive(Debug, Clone)]
pub(super) struct ReceiverQueue {
    pending: Arc<Semaphore>,
    attempts: Arc<Semaphore>,
}

impl ReceiverQueues {
    /// Queue with the key `owner`, created if missing.
    pub(super) fn queue_for(&self, owner: &str) -> ReceiverQueue {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .entry(owner.to_owned())
            .or_insert_with(ReceiverQueue::new)
            .clone()
    }
}

impl ReceiverQueue {
    fn new() -> Self {
        Self {
            pending: Arc::new(Semaphore::new(MAX_PENDING)),
            attempts: Arc::new(Semaphore::new(MAX_CONCURRENT_ATTEMPTS)),
        }
    }

    /// Reserves a slot for one pending event; `None` if the queue is full.
    pub(super) fn reserve_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pending).try_acquire_owned().ok()
    }

    /// Waits for a free slot for one attempt.
    pub(super) async fn wait_for_attempt(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.attempts).acquire_owned().await.ok()
    }
}
