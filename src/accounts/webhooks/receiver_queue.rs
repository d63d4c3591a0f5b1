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
    /// Returns the queue with the key `owner`, created if missing.
    pub(super) fn queue_for(&self, owner: &str) -> ReceiverQueue {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(owner) {
            return queue.clone();
        }
        // Eviction: a queue that only the map holds has no pending event. Clones are made under
        // this lock, so none appears meanwhile.
        queues.retain(|_, queue| Arc::strong_count(&queue.pending) > 1);
        let queue = ReceiverQueue::new();
        queues.insert(owner.to_owned(), queue.clone());
        queue
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_without_pending_events_is_evicted() {
        let queues = ReceiverQueues::default();
        let busy = queues.queue_for("busy");
        let slots: Vec<_> = std::iter::from_fn(|| busy.reserve_slot()).collect();
        drop(busy);
        for number in 0..100 {
            queues.queue_for(&format!("idle {number}"));
        }
        assert_eq!(queues.0.lock().unwrap().len(), 2, "the busy and the last");
        assert!(queues.queue_for("busy").reserve_slot().is_none(), "full");
        drop(slots);
        assert!(queues.queue_for("busy").reserve_slot().is_some());
    }
}
