//! Metrics of batches, tasks and webhooks.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;
use super::labels::seconds_histogram;

/// Counters of what runs without a client that waits.
#[derive(Debug, Clone)]
pub struct ServiceMetrics {
    batches: CounterFamily<EndLabel>,
    batch_lines: CounterFamily<EndLabel>,
    tasks: CounterFamily<EndLabel>,
    permission_wait: Histogram,
    webhooks: CounterFamily<EndLabel>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    end: &'static str,
}

impl ServiceMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batches: CounterFamily::default(),
            batch_lines: CounterFamily::default(),
            tasks: CounterFamily::default(),
            permission_wait: seconds_histogram(),
            webhooks: CounterFamily::default(),
        };
        registry.register(
            "batches_ended",
            "Batches that have ended, by their status",
            metrics.batches.clone(),
        );
        registry.register(
            "batch_lines",
            "Requests of batches that have ended",
            metrics.batch_lines.clone(),
        );
        registry.register(
            "tasks_ended",
            "Tasks that have ended, by their status",
            metrics.tasks.clone(),
        );
        registry.register(
            "permission_wait_seconds",
            "Time that an agent waits for an answer to a permission request",
            metrics.permission_wait.clone(),
        );
        registry.register(
            "webhook_deliveries",
            "Attempts to deliver a webhook event",
            metrics.webhooks.clone(),
        );
        metrics
    }

    /// Counts a batch that has ended with this status.
    pub fn count_batch(&self, end: &'static str) {
        self.batches.get_or_create(&EndLabel { end }).inc();
    }

    /// Counts a request of a batch that has ended.
    pub fn count_batch_line(&self, end: &'static str) {
        self.batch_lines.get_or_create(&EndLabel { end }).inc();
    }

    /// Counts a task that has ended with this status.
    pub fn count_task(&self, end: &'static str) {
        self.tasks.get_or_create(&EndLabel { end }).inc();
    }

    /// Records the time until a permission request was answered.
    pub fn record_permission_wait(&self, time: Duration) {
        self.permission_wait.observe(time.as_secs_f64());
    }

    /// Counts an attempt to deliver a webhook event.
    pub fn count_webhook(&self, end: &'static str) {
        self.webhooks.get_or_create(&EndLabel { end }).inc();
    }
}
