//! Semaphore that grants its permits to tenants in turn.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::FairQueue;
use super::Tenant;

/// Fair semaphore: a fixed number of permits, granted to tenants in turn. Clones share them.
#[derive(Debug, Clone)]
pub struct FairSemaphore(Arc<Mutex<FairSemaphoreInner>>);

#[derive(Debug)]
struct FairSemaphoreInner {
    /// Above zero only while the queue is empty.
    free: usize,
    waiting: FairQueue<oneshot::Sender<FairPermit>>,
}

/// Permit that is released on drop.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back"]
pub struct FairPermit(FairSemaphore);

impl FairSemaphore {
    /// Creates a semaphore with `count` free permits.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(FairSemaphoreInner {
            free: count,
            waiting: FairQueue::default(),
        })))
    }

    /// Waits for a permit of `tenant`. Cancellation-safe: a permit granted to a dropped waiter goes
    /// to the next one.
    pub async fn acquire(&self, tenant: &Tenant) -> FairPermit {
        loop {
            let receiver = {
                let mut inner = self.lock();
                if inner.free > 0 {
                    inner.free -= 1;
                    inner.waiting.record_turn(tenant);
                    return FairPermit(self.clone());
                }
                let (sender, receiver) = oneshot::channel();
                inner.waiting.push(tenant, sender);
                receiver
            };
            // The channel only closes with the semaphore, which `self` keeps alive; so the loop
            // does not spin.
            if let Ok(permit) = receiver.await {
                return permit;
            }
        }
    }

    /// Returns true if a permit is free, so that the next [`acquire`](Self::acquire) need not wait.
    pub fn has_free(&self) -> bool {
        self.lock().free > 0
    }

    fn release(&self) {
        let mut inner = self.lock();
        inner.waiting.retain(|waiter| !waiter.is_closed());
        let Some(waiter) = inner.waiting.pop() else {
            inner.free += 1;
            return;
        };
        drop(inner);
        // Not under the lock: if the receiver was dropped meanwhile, the returned permit is dropped
        // here and releases itself to the next waiter.
        let _ = waiter.send(FairPermit(self.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, FairSemaphoreInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
