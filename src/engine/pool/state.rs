//! State of the pool: idle workers, counters and the queue.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Error;
use super::config::Config;
use super::launcher::{LaunchError, Launcher, Worker};
use super::lease::Lease;
use super::queue::Queue;
use crate::telemetry::metrics::RetireReason;

/// Consecutive failed starts after which waiting requests fail, if no other worker is left for them.
const FAILURES_BEFORE_OUTAGE: u32 = 3;

/// Counter that a worker which is not idle belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolPhase {
    Starting,
    Busy,
    Resetting,
}

/// A worker with its age and use.
pub(super) struct Slot<W> {
    pub(super) worker: W,
    pub(super) turns: u32,
    started_at: Instant,
    idle_since: Instant,
}

impl<W: Worker> Slot<W> {
    pub(super) fn new(worker: W) -> Self {
        let now = Instant::now();
        Self {
            worker,
            turns: 0,
            started_at: now,
            idle_since: now,
        }
    }

    pub(super) fn now_idle(mut self) -> Self {
        self.idle_since = Instant::now();
        self
    }

    pub(super) fn was_idle_for(&self, time: Duration) -> bool {
        self.idle_since.elapsed() >= time
    }

    pub(super) fn is_worn_out(&self, config: &Config) -> bool {
        self.turns >= config.max_turns || self.started_at.elapsed() >= config.max_age
    }
}

/// Current numbers of workers and waiting requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Maximum number of workers.
    pub max: usize,
    /// Workers that are being started.
    pub starting: usize,
    /// Workers that are ready for a request.
    pub idle: usize,
    /// Workers lent to a request.
    pub busy: usize,
    /// Workers being reset after a request.
    pub resetting: usize,
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Message of the last failed start; cleared when a start succeeds or, without prewarming, when
    /// the backoff is over.
    pub last_failure: Option<String>,
    /// Set when workers are started before a request needs them (prewarming).
    pub starts_ahead: bool,
}

/// Sender that completes the wait of a queued request, with a lease or an error.
pub(super) type Waiter<L> = oneshot::Sender<Result<Lease<L>, Error>>;

pub(super) struct PoolState<L: Launcher> {
    /// Clean workers, used as a stack: the last one used is taken first, so that the others age and
    /// are retired.
    pub(super) idle: Vec<Slot<L::Worker>>,
    pub(super) waiting: Queue<Waiter<L>>,
    pub(super) starting: usize,
    pub(super) busy: usize,
    pub(super) resetting: usize,
    pub(super) retry_at: Option<Instant>,
    /// Dead workers that were met on a request's path and are not counted in the metrics yet.
    dead: usize,
    failures: u32,
    last_failure: Option<LaunchError>,
}

impl<L: Launcher> PoolState<L> {
    pub(super) fn new() -> Self {
        Self {
            idle: Vec::new(),
            waiting: Queue::new(),
            starting: 0,
            busy: 0,
            resetting: 0,
            retry_at: None,
            dead: 0,
            failures: 0,
            last_failure: None,
        }
    }

    /// Takes the idle worker that was used last; dead ones are dropped on the way.
    pub(super) fn take_idle(&mut self) -> Option<Slot<L::Worker>> {
        while let Some(mut slot) = self.idle.pop() {
            if slot.worker.is_alive() {
                self.busy += 1;
                return Some(slot);
            }
            // Runs under the pool's lock: the drop of a worker must not use the pool (deadlock).
            self.dead += 1;
        }
        None
    }

    /// Takes out the workers that were idle for `time`, and counts them as resetting.
    pub(super) fn take_long_idle(&mut self, time: Duration) -> Vec<Slot<L::Worker>> {
        let idle = std::mem::take(&mut self.idle).into_iter();
        let (long_idle, idle): (Vec<_>, _) = idle.partition(|slot| slot.was_idle_for(time));
        self.idle = idle;
        self.resetting += long_idle.len();
        long_idle
    }

    pub(super) fn drop_cancelled_waiters(&mut self) {
        // Cancellation: a request that left or timed out has dropped its receiver.
        self.waiting.retain(|waiter| !waiter.is_closed());
    }

    /// Decrements the counter of `phase`.
    pub(super) fn decrement(&mut self, phase: PoolPhase) {
        // Invariant: a worker that is not idle is counted in exactly one phase.
        match phase {
            PoolPhase::Starting => self.starting -= 1,
            PoolPhase::Busy => self.busy -= 1,
            PoolPhase::Resetting => self.resetting -= 1,
        }
    }

    pub(super) fn move_busy_to_resetting(&mut self) {
        // Both under one lock: between them, the worker would be missing and another one started.
        self.busy -= 1;
        self.resetting += 1;
    }

    pub(super) fn launch_succeeded(&mut self) {
        self.failures = 0;
        self.last_failure = None;
        self.retry_at = None;
    }

    /// Records a failed start, and returns the number of consecutive failures.
    pub(super) fn launch_failed(&mut self, error: LaunchError) -> u32 {
        self.starting -= 1;
        // Backoff: the caller sets `retry_at` under the same lock.
        self.failures += 1;
        self.last_failure = Some(error);
        self.failures
    }

    pub(super) fn is_backing_off(&self) -> bool {
        self.retry_at.is_some_and(|at| Instant::now() < at)
    }

    /// Returns the error for new requests during an outage: starts fail, the next one is not due,
    /// and no worker is left.
    pub(super) fn current_outage(&self) -> Option<Error> {
        let failure = self.last_failure.as_ref()?;
        let has_workers = self.idle.len() + self.busy + self.resetting + self.starting > 0;
        let is_lasting = failure.is_permanent || self.failures >= FAILURES_BEFORE_OUTAGE;
        // Load shedding: only while no worker is left and the next start is not due.
        if has_workers || !is_lasting || !self.is_backing_off() {
            return None;
        }
        let retry_after = self
            .retry_at
            .map_or(Duration::ZERO, |at| at.duration_since(Instant::now()));
        Some(Error::Unavailable {
            reason: failure.message.clone(),
            retry_after,
        })
    }

    /// Returns the number of workers to start now.
    pub(super) fn workers_to_start(&mut self, config: &Config) -> usize {
        // Workers that start or are being reset will be free without a further start.
        self.drop_cancelled_waiters();
        let coming = self.idle.len() + self.starting + self.resetting;
        // Invariant: idle, starting, resetting and busy workers are at most `max_workers` together.
        let room = config.max_workers.saturating_sub(coming + self.busy);
        // Thundering herd: starts compete for the cores, so few run at a time.
        let may_start = config.max_starting.saturating_sub(self.starting);
        (self.waiting.len() + config.prewarm)
            .saturating_sub(coming)
            .min(room)
            .min(may_start)
    }

    /// Takes out the idle workers that are dead, worn out, or idle beyond the spare ones for too
    /// long, with the reasons.
    pub(super) fn take_retired(&mut self, config: &Config) -> Vec<(Slot<L::Worker>, RetireReason)> {
        let count = self.idle.len();
        let mut retired = Vec::new();
        for (index, mut slot) in std::mem::take(&mut self.idle).into_iter().enumerate() {
            // The oldest ones come first in the stack, so the surplus is at its front.
            let is_surplus = count - index > config.prewarm;
            let reason = if !slot.worker.is_alive() {
                RetireReason::Dead
            } else if slot.is_worn_out(config) {
                RetireReason::WornOut
            } else if is_surplus && slot.was_idle_for(config.idle_timeout) {
                RetireReason::Idle
            } else {
                self.idle.push(slot);
                continue;
            };
            retired.push((slot, reason));
        }
        retired
    }

    /// Returns how many dead workers were met since the last call.
    pub(super) fn take_dead_count(&mut self) -> usize {
        std::mem::take(&mut self.dead)
    }

    pub(super) fn stats(&self, config: &Config) -> PoolStats {
        let starts_ahead = config.prewarm > 0;
        // Without prewarming, only the next request retries a start, so an old failure is no longer
        // current.
        let failure = self
            .last_failure
            .as_ref()
            .filter(|_| starts_ahead || self.is_backing_off());
        PoolStats {
            max: config.max_workers,
            starting: self.starting,
            idle: self.idle.len(),
            busy: self.busy,
            resetting: self.resetting,
            waiting: self
                .waiting
                .iter()
                .filter(|waiter| !waiter.is_closed())
                .count(),
            last_failure: failure.map(|failure| failure.message.clone()),
            starts_ahead,
        }
    }
}
