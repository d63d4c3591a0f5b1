//! A semaphore whose permits tenants get in turn.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::Rounds;
use super::Tenant;

/// A fair semaphore: a fixed number of permits, given to tenants in turn. Clones share them.
#[derive(Debug, Clone)]
pub struct Permits(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Above zero only while nobody waits.
    free: usize,
    waiting: Rounds<oneshot::Sender<FairPermit>>,
}

/// A permit, given back when it is dropped.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back"]
pub struct FairPermit(Permits);

impl Permits {
    /// `count` permits, all free.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            free: count,
            waiting: Rounds::default(),
        })))
    }

    /// Waits for a permit.
    pub async fn acquire(&self, tenant: &Tenant) -> FairPermit {
        loop {
            let receiver = {
                let mut inner = self.lock();
                if inner.free > 0 {
                    inner.free -= 1;
                    inner.waiting.note_turn(tenant);
                    return FairPermit(self.clone());
                }
                let (sender, receiver) = oneshot::channel();
                inner.waiting.push(tenant, sender);
                receiver
            };
            // The sender is never dropped unused while somebody waits at the other end.
            if let Ok(permit) = receiver.await {
                return permit;
            }
        }
    }

    fn release(&self) {
        let mut inner = self.lock();
        inner.waiting.retain(|waiter| !waiter.is_closed());
        let Some(waiter) = inner.waiting.pop() else {
            inner.free += 1;
            return;
        };
        drop(inner);
        // Whoever has left just now does not take it; dropped, it goes to the next.
        let _ = waiter.send(FairPermit(self.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        self.0.release();
    }
}
