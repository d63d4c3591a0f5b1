//! Pool maintenance: starting, checking and retiring workers, never on a request's path.

use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::launcher::{LaunchError, Launcher};
use super::lease::health_check;
use super::state::{PoolPhase, Slot};
use crate::runtime::backoff::Backoff;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::RetireReason;

/// Delays between starts while they fail.
const START_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

impl<L: Launcher> Pool<L> {
    /// Starts as many workers as the queue and the spare count need, within the bounds.
    pub(super) fn refill(&self) {
        let starts = {
            let mut state = self.state();
            if self.0.closed.is_cancelled() || state.is_backing_off() {
                return;
            }
            let starts = state.workers_to_start(&self.0.config);
            state.starting += starts;
            starts
        };
        for _ in 0..starts {
            let pool = self.clone();
            self.0.tracker.spawn(async move { pool.launch_one().await });
        }
    }

    /// Runs a health check on all workers that were idle for long, concurrently, and ends those
    /// that fail it.
    pub(super) fn health_check_idle(&self) {
        let long_idle = self.state().take_long_idle(self.0.config.check_after);
        for mut slot in long_idle {
            let pool = self.clone();
            self.0.tracker.spawn(async move {
                if health_check(&mut slot.worker).await {
                    pool.hand_over(slot, PoolPhase::Resetting);
                } else {
                    tracing::warn!("idle worker failed health check");
                    pool.retire(slot, PoolPhase::Resetting, RetireReason::Unresponsive);
                }
            });
        }
    }

    async fn launch_one(&self) {
        let started_at = Instant::now();
        match self.0.launcher.launch().await {
            Ok(worker) => {
                self.0.metrics.record_start(started_at.elapsed());
                self.hand_over(Slot::new(worker), PoolPhase::Starting);
                // Starts the next one that had to wait for a free start.
                self.refill();
            }
            Err(error) => self.launch_failed(error),
        }
    }

    fn launch_failed(&self, error: LaunchError) {
        tracing::warn!(error = %ErrorChain(&error), "worker start failed");
        self.0.metrics.count_failed_start();
        let waiters = {
            let mut state = self.state();
            let delay = START_BACKOFF.delay(state.launch_failed(error));
            state.retry_at = Some(Instant::now() + delay);
            self.retry_later(delay);
            state
                .current_outage()
                .map(|outage| (outage, state.waiting.drain()))
        };
        let Some((outage, waiting)) = waiters else {
            return;
        };
        for waiter in waiting {
            let _ = waiter.send(Err(outage.clone()));
        }
    }

    fn retry_later(&self, delay: Duration) {
        let pool = self.clone();
        self.0.tracker.spawn(async move {
            let closed = pool.0.closed.clone();
            if closed
                .run_until_cancelled(tokio::time::sleep(delay))
                .await
                .is_some()
            {
                pool.refill();
            }
        });
    }

    /// Retires worn-out workers and starts missing ones, every second until the pool is closed.
    pub(super) async fn maintain(&self) {
        let closed = self.0.closed.clone();
        while closed
            .run_until_cancelled(tokio::time::sleep(MAINTENANCE_INTERVAL))
            .await
            .is_some()
        {
            let (dead, retired) = {
                let mut state = self.state();
                (state.take_dead_count(), state.take_retired(&self.0.config))
            };
            let metrics = &self.0.metrics;
            metrics.count_retired(RetireReason::Dead, dead);
            if !retired.is_empty() {
                tracing::debug!(workers = retired.len(), "idle workers retired");
            }
            for (_, reason) in &retired {
                metrics.count_retired(*reason, 1);
            }
            drop(retired);
            self.refill();
        }
    }
}
