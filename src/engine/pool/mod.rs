//! Bounded, prewarmed pool of any expensive worker.
//!
//! Generic over what it pools: a [`Launcher`] starts workers and a [`Worker`] can be reset between
//! two uses. A request gets an idle worker, or a place in the queue for the next one that is reset
//! or started, or [`Error::Busy`].
//!
//! The queue is fair among tenants, of which the pool knows an id and a weight: they get workers by
//! weighted round robin, and none of them can fill the queue for the others. Starts and resets run
//! on tasks of their own, never on a request's path. No worker affinity (sticky sessions): any clean
//! worker serves any turn.

mod claim;
mod config;
mod launcher;
mod lease;
mod queue;
mod state;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::PoolMetrics;
use crate::telemetry::metrics::RetireReason;

pub use claim::{Claim, Class};
pub use config::Config;
pub use launcher::{LaunchError, Launcher, Worker};
pub use lease::Lease;
pub use state::PoolStats;

use lease::Returned;
use state::{PoolPhase, PoolState, Slot, Waiter};

/// Reason why no worker was lent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Queue full, or the wait in it too long.
    #[error("all {workers} workers are busy: {reason}")]
    Busy {
        /// Maximum number of workers.
        workers: usize,
        /// Reason why the request cannot wait for one.
        reason: BusyReason,
    },
    /// Failure to start any worker.
    #[error("no worker can be started: {reason}")]
    Unavailable {
        /// Message of the last failed start.
        reason: String,
        /// Time until the next start is tried.
        retry_after: Duration,
    },
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

/// Reason why a request cannot wait, or not any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusyReason {
    /// Queue full, and no other tenant holds at least two slots more than this one.
    #[error("{own} of the {waiting} requests that wait are of the same tenant")]
    OwnShare {
        /// Slots that the tenant holds.
        own: usize,
        /// Slots that are used in all.
        waiting: usize,
    },
    /// Each slot belongs to another tenant, or the queue has no slots.
    #[error("the queue is full")]
    QueueFull,
    /// The queue timeout, which has passed.
    #[error("none was free within {} s", .0.as_secs())]
    WaitedTooLong(Duration),
}

/// Records the wait for a worker when it ends: with one, without one, or because the client has left.
struct WaitTimer<'a> {
    metrics: &'a PoolMetrics,
    class: Class,
    started_at: Instant,
}

impl Drop for WaitTimer<'_> {
    fn drop(&mut self) {
        let wait = self.started_at.elapsed();
        self.metrics.record_wait(self.class.name(), wait);
    }
}

/// Handle on the pool; clones share it.
pub struct Pool<L: Launcher>(Arc<PoolInner<L>>);

struct PoolInner<L: Launcher> {
    launcher: L,
    config: Config,
    metrics: PoolMetrics,
    tracker: TaskTracker,
    closed: CancellationToken,
    /// Held for a few instructions at a time and never across an await, so a blocking mutex is
    /// enough.
    state: Mutex<PoolState<L>>,
}

impl<L: Launcher> Clone for Pool<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Launcher> std::fmt::Debug for Pool<L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Pool").field(&self.stats()).finish()
    }
}

impl<L: Launcher> Pool<L> {
    /// Creates a pool and starts its first workers at once, on tasks of `tracker`.
    pub fn start(launcher: L, config: Config, metrics: PoolMetrics, tracker: TaskTracker) -> Self {
        let pool = Self(Arc::new(PoolInner {
            launcher,
            config,
            metrics,
            tracker,
            closed: CancellationToken::new(),
            state: Mutex::new(PoolState::new()),
        }));
        pool.refill();
        let maintained = pool.clone();
        pool.0
            .tracker
            .spawn(async move { maintained.maintain().await });
        pool
    }

    /// Lends a clean worker to `claim`, waiting for one if need be; a live claim waits at most for
    /// the queue timeout.
    ///
    /// Cancellation-safe: if the future is dropped, a worker that was assigned to it returns to the
    /// pool.
    ///
    /// # Errors
    /// [`Error::Busy`] if the queue is full or the wait too long, [`Error::Unavailable`] if no
    /// worker can be started, [`Error::Closed`] after [`close`](Self::close).
    pub async fn lease(&self, claim: &Claim) -> Result<Lease<L>, Error> {
        let begin = |name| claim.span.as_ref()?.child(name);
        let queue = begin("queue");
        let mut lease = self.wait_for_lease(claim).await?;
        drop(queue);
        lease.record_by(begin("lease"));
        Ok(lease)
    }

    async fn wait_for_lease(&self, claim: &Claim) -> Result<Lease<L>, Error> {
        let _timer = WaitTimer {
            metrics: &self.0.metrics,
            class: claim.class,
            started_at: Instant::now(),
        };
        loop {
            let (sender, receiver) = oneshot::channel();
            // Replacing the idle worker is left to the maintenance: a start takes a core for half a
            // second, which this request needs more, and often this worker is back by then.
            match self.take_idle_or_enqueue(claim, sender)? {
                Some(idle) => {
                    if let Some(lease) = self.lend_after_health_check(idle).await {
                        return Ok(lease);
                    }
                    // Other workers may be stuck as well: all are checked at once, and this request
                    // waits for the first that responds.
                    self.health_check_idle();
                }
                None => return self.wait_for_worker(claim, receiver).await,
            }
        }
    }

    /// Checks, without waiting or taking a place, that [`lease`](Self::lease) would lend a worker to
    /// `claim` now or queue it.
    ///
    /// # Errors
    /// As [`lease`](Self::lease), except for a wait that is too long.
    pub fn check_room(&self, claim: &Claim) -> Result<(), Error> {
        let mut state = self.state();
        if self.0.closed.is_cancelled() {
            return Err(Error::Closed);
        }
        if !state.idle.is_empty() {
            return Ok(());
        }
        let capacity = self.queue_capacity(&mut state)?;
        state
            .waiting
            .check_place(claim, capacity)
            .map_err(|reason| self.busy_error(reason))
    }

    /// Takes an idle worker, or queues `sender`.
    fn take_idle_or_enqueue(
        &self,
        claim: &Claim,
        sender: Waiter<L>,
    ) -> Result<Option<Slot<L::Worker>>, Error> {
        let sent_away = {
            let mut state = self.state();
            if self.0.closed.is_cancelled() {
                return Err(Error::Closed);
            }
            if let Some(slot) = state.take_idle() {
                state.waiting.charge_turn(claim);
                return Ok(Some(slot));
            }
            self.enqueue(&mut state, claim, sender)?
        };
        if let Some((waiter, reason)) = sent_away {
            let _ = waiter.send(Err(self.busy_error(reason)));
        }
        Ok(None)
    }

    /// Lends an idle worker, after a health check if it was idle for long: a process may be stopped
    /// or stuck without being dead.
    async fn lend_after_health_check(&self, idle: Slot<L::Worker>) -> Option<Lease<L>> {
        let is_due = idle.was_idle_for(self.0.config.check_after);
        let mut lease = Lease::new(idle, self.clone());
        if is_due && !lease.passes_health_check().await {
            tracing::warn!("idle worker failed health check");
            return None;
        }
        Some(lease)
    }

    async fn wait_for_worker(
        &self,
        claim: &Claim,
        receiver: oneshot::Receiver<Result<Lease<L>, Error>>,
    ) -> Result<Lease<L>, Error> {
        self.refill();
        let lent = match claim.class {
            Class::Live => tokio::time::timeout(self.0.config.queue_timeout, receiver).await,
            Class::Background => Ok(receiver.await),
        };
        match lent {
            Ok(Ok(lease)) => lease.map(|mut lease| {
                lease.mark_queued();
                lease
            }),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(self.busy_error(BusyReason::WaitedTooLong(self.0.config.queue_timeout))),
        }
    }

    /// Closes the pool: waiting requests fail, idle workers end now and lent ones on return.
    pub fn close(&self) {
        let (idle, waiting) = {
            let mut state = self.state();
            // Cancelled under the lock, so that no request is queued and no worker kept idle
            // afterwards.
            self.0.closed.cancel();
            (std::mem::take(&mut state.idle), state.waiting.drain())
        };
        self.0
            .metrics
            .count_retired(RetireReason::Closed, idle.len());
        for waiter in waiting {
            let _ = waiter.send(Err(Error::Closed));
        }
        drop(idle);
    }

    /// Returns the current numbers of workers and waiting requests.
    pub fn stats(&self) -> PoolStats {
        self.state().stats(&self.0.config)
    }

    fn state(&self) -> MutexGuard<'_, PoolState<L>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy_error(&self, reason: BusyReason) -> Error {
        Error::Busy {
            workers: self.0.config.max_workers,
            reason,
        }
    }

    /// Queues a request, and returns the one that lost its place to it, if any.
    fn enqueue(
        &self,
        state: &mut PoolState<L>,
        claim: &Claim,
        sender: Waiter<L>,
    ) -> Result<Option<(Waiter<L>, BusyReason)>, Error> {
        let capacity = self.queue_capacity(state)?;
        state
            .waiting
            .push(claim, capacity, sender)
            .map_err(|reason| self.busy_error(reason))
    }

    /// Returns the number of places in the queue, which requests that have given up no longer take.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no worker can be started, so that waiting would be useless.
    fn queue_capacity(&self, state: &mut PoolState<L>) -> Result<usize, Error> {
        if let Some(outage) = state.current_outage() {
            return Err(outage);
        }
        state.drop_cancelled_waiters();
        // Workers that are not lent will serve that many requests, which therefore do not count as
        // queued.
        let coming = self.0.config.max_workers - state.busy.min(self.0.config.max_workers);
        Ok(self.0.config.queue_length + coming)
    }

    /// Hands a clean worker to the next waiting request, or keeps it idle.
    fn hand_over(&self, slot: Slot<L::Worker>, from: PoolPhase) {
        let mut state = self.state();
        state.decrement(from);
        if from == PoolPhase::Starting {
            state.launch_succeeded();
        }
        // Counted as busy while it is handed over: the lease may be dropped, and returned, at any
        // time.
        state.busy += 1;
        let mut lease = Lease::new(slot, self.clone());
        // Waiters that have given up must not use up a turn of their tenant.
        state.drop_cancelled_waiters();
        while let Some(waiter) = state.waiting.pop() {
            // The lock is released before `send`, which may wake the receiver; dropping a lease
            // locks again.
            drop(state);
            match waiter.send(Ok(lease)) {
                Err(Ok(returned)) => lease = returned,
                _ => return,
            }
            state = self.state();
        }
        state.busy -= 1;
        if !self.0.closed.is_cancelled() {
            state.idle.extend(lease.into_slot().map(Slot::now_idle));
        } else {
            self.0.metrics.count_retired(RetireReason::Closed, 1);
            // The worker is dropped after the lock is released.
            drop(state);
            drop(lease.into_slot());
        }
    }

    /// Takes back the worker of an ended lease.
    fn take_back(&self, mut slot: Slot<L::Worker>, state_of: Returned) {
        slot.turns += u32::from(state_of != Returned::Unused);
        match state_of {
            _ if self.0.closed.is_cancelled() => {
                self.retire(slot, PoolPhase::Busy, RetireReason::Closed);
            }
            Returned::Broken(reason) => self.retire(slot, PoolPhase::Busy, reason),
            Returned::Unused => self.hand_over(slot, PoolPhase::Busy),
            Returned::Used => {
                self.state().move_busy_to_resetting();
                self.reset_later(slot);
            }
        }
    }

    fn reset_later(&self, slot: Slot<L::Worker>) {
        let pool = self.clone();
        self.0.tracker.spawn(async move { pool.reset(slot).await });
    }

    async fn reset(&self, mut slot: Slot<L::Worker>) {
        let started_at = Instant::now();
        let result = slot.worker.reset().await;
        self.0.metrics.record_reset(started_at.elapsed());
        if let Err(error) = &result {
            tracing::info!(error = %ErrorChain(error), "worker reset failed");
        }
        if result.is_err() {
            self.retire(slot, PoolPhase::Resetting, RetireReason::ResetFailed);
        } else if slot.is_worn_out(&self.0.config) {
            self.retire(slot, PoolPhase::Resetting, RetireReason::WornOut);
        } else {
            self.hand_over(slot, PoolPhase::Resetting);
        }
    }

    fn retire(&self, slot: Slot<L::Worker>, from: PoolPhase, reason: RetireReason) {
        self.0.metrics.count_retired(reason, 1);
        self.state().decrement(from);
        drop(slot);
        self.refill();
    }
}
