//! Metrics of the worker pool.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::exemplar::ExemplarFamily;
use super::exemplar::RequestExemplar;
use super::labels::CounterFamily;
use super::labels::seconds_histogram;

/// Name of the family of waits for a worker.
const QUEUE_WAIT: &str = "queue_wait_seconds";

/// Durations of waits, starts and resets, and the numbers of retired workers.
#[derive(Debug, Clone)]
pub struct PoolMetrics {
    queue_wait: ExemplarFamily<ClassLabel>,
    lease: Histogram,
    start: Histogram,
    reset: Histogram,
    failed_starts: Counter,
    retired: CounterFamily<ReasonLabel>,
}

/// Reason why a worker is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireReason {
    /// Worker process found dead.
    Dead,
    /// Worker unusable after a failed run.
    Broken,
    /// Worker without a response to a health check.
    Unresponsive,
    /// Worker whose reset after a run failed.
    ResetFailed,
    /// Worker at its maximum age or number of turns.
    WornOut,
    /// Worker idle for too long, beyond the prewarmed number.
    Idle,
    /// Worker ended because the pool is closed.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl RetireReason {
    const ALL: [Self; 7] = [
        Self::Dead,
        Self::Broken,
        Self::Unresponsive,
        Self::ResetFailed,
        Self::WornOut,
        Self::Idle,
        Self::Closed,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Broken => "broken",
            Self::Unresponsive => "unresponsive",
            Self::ResetFailed => "reset_failed",
            Self::WornOut => "worn_out",
            Self::Idle => "idle",
            Self::Closed => "closed",
        }
    }
}

impl Default for PoolMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl PoolMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            queue_wait: ExemplarFamily::new(),
            lease: seconds_histogram(),
            start: seconds_histogram(),
            reset: seconds_histogram(),
            failed_starts: Counter::default(),
            retired: CounterFamily::default(),
        };
        // The first worker that is ended is an increase, too.
        for reason in RetireReason::ALL.map(RetireReason::label) {
            drop(metrics.retired.get_or_create(&ReasonLabel { reason }));
        }
        registry.register(
            QUEUE_WAIT,
            "Time that a request waits for a worker, in vain or not, by class; 0 when one is idle",
            metrics.queue_wait.classic(),
        );
        registry.register(
            "worker_lease_seconds",
            "Time that a worker is lent to a run",
            metrics.lease.clone(),
        );
        registry.register(
            "worker_start_seconds",
            "Time that a worker takes to start",
            metrics.start.clone(),
        );
        registry.register(
            "worker_reset_seconds",
            "Time that a worker takes to be reset after a run",
            metrics.reset.clone(),
        );
        registry.register(
            "worker_failed_starts",
            "Workers that could not be started",
            metrics.failed_starts.clone(),
        );
        registry.register(
            "workers_retired",
            "Workers that were ended, by reason",
            metrics.retired.clone(),
        );
        metrics
    }

    /// Registers the native buckets of histograms with exemplars.
    pub(super) fn register_natives(&self, natives: &mut Registry) {
        natives.register(QUEUE_WAIT, "", self.queue_wait.native());
    }

    /// Records the wait of a run of this class for a worker.
    pub fn record_wait(&self, class: &'static str, wait: Duration) {
        let request = RequestExemplar::current();
        let seconds = wait.as_secs_f64();
        self.queue_wait
            .observe(&ClassLabel { class }, seconds, request);
    }

    /// Records the time that a worker was lent.
    pub fn record_lease(&self, time: Duration) {
        self.lease.observe(time.as_secs_f64());
    }

    /// Records the time of a successful start.
    pub fn record_start(&self, time: Duration) {
        self.start.observe(time.as_secs_f64());
    }

    /// Counts a failed start.
    pub fn count_failed_start(&self) {
        self.failed_starts.inc();
    }

    /// Records the time of a reset.
    pub fn record_reset(&self, time: Duration) {
        self.reset.observe(time.as_secs_f64());
    }

    /// Counts `workers` that are ended for `reason`.
    pub fn count_retired(&self, reason: RetireReason, workers: usize) {
        if workers == 0 {
            return;
        }
        let label = ReasonLabel {
            reason: reason.label(),
        };
        self.retired.get_or_create(&label).inc_by(workers as u64);
    }
}
