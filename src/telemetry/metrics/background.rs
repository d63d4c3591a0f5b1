//! Metrics of what runs without a waiting client: lines of batches, tasks, webhook events.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;
use super::labels::KnownModels;
use super::labels::SecondsFamily;
use super::labels::seconds_family;

/// Numbers of the lines of batches. Clones share them.
#[derive(Debug, Clone)]
pub struct BatchMetrics {
    lines: CounterFamily<EndLabel>,
}

/// Numbers of ended tasks, waits for permission, and the queue of tasks that several servers share.
/// Clones share them.
#[derive(Debug, Clone)]
pub struct TaskMetrics {
    models: KnownModels,
    ended: CounterFamily<StatusLabel>,
    waiting: Gauge,
    taken: CounterFamily<ServerLabel>,
    permission_wait: SecondsFamily<DecisionLabel>,
}

/// Length of the queue of background responses that several servers share, and what this server took
/// from it. Clones share them.
#[derive(Debug, Clone)]
pub struct QueueMetrics {
    waiting: Gauge,
    taken: CounterFamily<ServerLabel>,
}

/// Numbers of webhook events and of further attempts. Clones share them.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    deliveries: CounterFamily<EndLabel>,
    retries: Counter,
}

/// End of a line of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchLineEnd {
    /// Answered by the model.
    Answered,
    /// Failed after all attempts.
    Failed,
    /// Not run: the batch ended before.
    NotRun,
    /// Run, but without effect: another server had taken the line over, and its outcome counts.
    Superseded,
}

/// End of a webhook event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// Delivered to its receiver.
    Delivered,
    /// Unwanted: the receiver refused it for good, or is gone.
    Unwanted,
    /// Given up after the last attempt.
    GivenUp,
    /// Not accepted: too many events wait for the receiver.
    QueueFull,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabel {
    queued_by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabel {
    decision: &'static str,
}

impl BatchLineEnd {
    const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::NotRun, Self::Superseded];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::NotRun => "not_run",
            Self::Superseded => "superseded",
        }
    }
}

impl DeliveryEnd {
    const ALL: [Self; 4] = [
        Self::Delivered,
        Self::Unwanted,
        Self::GivenUp,
        Self::QueueFull,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Unwanted => "unwanted",
            Self::GivenUp => "given_up",
            Self::QueueFull => "queue_full",
        }
    }
}

impl Default for BatchMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl Default for TaskMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default(), KnownModels::default())
    }
}

impl Default for QueueMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl Default for WebhookMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl BatchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lines = CounterFamily::default();
        start_at_zero(&lines, BatchLineEnd::ALL.map(BatchLineEnd::label));
        registry.register(
            "batch_lines",
            "Lines of batches by their end",
            lines.clone(),
        );
        Self { lines }
    }

    /// Counts `lines` that ended in this way.
    pub fn count_lines(&self, end: BatchLineEnd, lines: u64) {
        if lines > 0 {
            let label = EndLabel { end: end.label() };
            self.lines.get_or_create(&label).inc_by(lines);
        }
    }
}

impl TaskMetrics {
    pub(super) fn register(registry: &mut Registry, models: KnownModels) -> Self {
        let metrics = Self {
            models,
            ended: CounterFamily::default(),
            waiting: Gauge::default(),
            taken: CounterFamily::default(),
            permission_wait: seconds_family(),
        };
        for is_own in [true, false] {
            drop(metrics.taken.get_or_create(&queued_by(is_own)));
        }
        registry.register(
            "tasks_ended",
            "Tasks that have ended, by status",
            metrics.ended.clone(),
        );
        registry.register(
            "queued_tasks",
            "Tasks that wait for any server with room; the same on each server",
            metrics.waiting.clone(),
        );
        registry.register(
            "queued_tasks_taken",
            "Queued tasks that this server has taken, by the server that queued them",
            metrics.taken.clone(),
        );
        registry.register(
            "permission_wait_seconds",
            "Time until a permission request of a task is decided, by decision",
            metrics.permission_wait.clone(),
        );
        metrics
    }

    /// Gives `model` a label of its own, by which charges of tasks are counted. Only for ids that
    /// upstream has answered by.
    pub fn know_model(&self, model: &str) {
        self.models.add(model);
    }

    /// Counts a task that ended with `status`, a word of a fixed set.
    pub fn count_end(&self, status: &'static str) {
        self.ended.get_or_create(&StatusLabel { status }).inc();
    }

    /// Sets the number of tasks that wait for any server.
    pub fn set_waiting(&self, tasks: usize) {
        self.waiting.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }

    /// Counts a task that was taken from the queue, into which this server (`is_own`) or another one had
    /// put it.
    pub fn count_taken(&self, is_own: bool) {
        self.taken.get_or_create(&queued_by(is_own)).inc();
    }

    /// Records the time until a permission request was decided: `decision` is a word of a fixed set.
    pub fn record_permission_wait(&self, decision: &'static str, wait: Duration) {
        self.permission_wait
            .get_or_create(&DecisionLabel { decision })
            .observe(wait.as_secs_f64());
    }
}

impl QueueMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            waiting: Gauge::default(),
            taken: CounterFamily::default(),
        };
        for is_own in [true, false] {
            drop(metrics.taken.get_or_create(&queued_by(is_own)));
        }
        registry.register(
            "queued_responses",
            "Background responses that wait for a server with room; the same on each server",
            metrics.waiting.clone(),
        );
        registry.register(
            "queued_responses_taken",
            "Queued background responses that this server has begun, by the server that queued them",
            metrics.taken.clone(),
        );
        metrics
    }

    /// Sets the number of responses that wait.
    pub fn set_waiting(&self, responses: usize) {
        self.waiting
            .set(i64::try_from(responses).unwrap_or(i64::MAX));
    }

    /// Counts a response that was taken from the queue, into which this server (`is_own`) or another one
    /// had put it.
    pub fn count_taken(&self, is_own: bool) {
        self.taken.get_or_create(&queued_by(is_own)).inc();
    }
}

impl WebhookMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            deliveries: CounterFamily::default(),
            retries: Counter::default(),
        };
        start_at_zero(
            &metrics.deliveries,
            DeliveryEnd::ALL.map(DeliveryEnd::label),
        );
        registry.register(
            "webhook_deliveries",
            "Webhook events by their end",
            metrics.deliveries.clone(),
        );
        registry.register(
            "webhook_retries",
            "Failed attempts to deliver a webhook event after which another one follows",
            metrics.retries.clone(),
        );
        metrics
    }

    /// Counts an event that ended in this way.
    pub fn count_delivery(&self, end: DeliveryEnd) {
        let label = EndLabel { end: end.label() };
        self.deliveries.get_or_create(&label).inc();
    }

    /// Counts a failed attempt that is followed by another one.
    pub fn count_retry(&self) {
        self.retries.inc();
    }
}

fn queued_by(is_own: bool) -> ServerLabel {
    let queued_by = if is_own { "this" } else { "other" };
    ServerLabel { queued_by }
}

/// Creates the series of `ends`, so that the first event of each is an increase.
fn start_at_zero<const N: usize>(family: &CounterFamily<EndLabel>, ends: [&'static str; N]) {
    for end in ends {
        drop(family.get_or_create(&EndLabel { end }));
    }
}
