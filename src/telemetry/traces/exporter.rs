//! Exporter: sends ended spans to the receiver in batches, on a task of its own.
//!
//! A receiver that stalls, refuses or is gone makes the bounded queue fill up. Spans beyond it are
//! dropped and counted; requests never wait. The log has one line a minute about it at most.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::options::ResourceAttributes;
use super::options::TraceOptions;
use super::otlp;
use super::span::SpanRecord;
use super::tracer::DroppedSpans;
use super::tracer::QueuedSpans;
use super::tracer::Tracer;
use crate::domain::LogText;
use crate::telemetry::metrics::SpanEnd;
use crate::telemetry::metrics::SpanMetrics;

/// Maximum number of spans of one export.
const MAX_BATCH_SPANS: usize = 512;
/// Maximum time that an ended span waits for others.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of attempts to deliver a batch.
const MAX_ATTEMPTS: u32 = 5;
/// Delay before the second attempt; doubles with each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum delay before a further attempt, whatever the receiver asks for.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Time for all that is left when the server stops. Below the time-out of an export, so that a
/// receiver that stalls cannot hold the shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1900);
/// Minimum time between two log lines about lost spans.
const MIN_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Sends the body of an export to the receiver.
pub trait SpanTransport: Send + Sync + 'static {
    /// Posts `body` and returns the answer, within a time-out of its own. The error is the reason
    /// for the log, without the address and its credentials.
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<ReceiverAnswer, String>>;
}

/// Answer of the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverAnswer {
    /// HTTP status of the answer.
    pub status: u16,
    /// Delay before the next attempt that the receiver asks for.
    pub retry_after: Option<Duration>,
    /// Body of the answer, or its beginning.
    pub body: Bytes,
}

/// Task that exports spans until it is stopped.
pub struct SpanExporter {
    receiver: mpsc::Receiver<SpanRecord>,
    /// Spans dropped before they were sent, since the last log line.
    dropped: Arc<DroppedSpans>,
    transport: Box<dyn SpanTransport>,
    resource: ResourceAttributes,
    metrics: SpanMetrics,
    stop: CancellationToken,
    /// Spans of the batch that is being delivered.
    spans_in_delivery: u64,
    /// Spans that could not be delivered since the last log line.
    failed: u64,
    logged_at: Option<Instant>,
}

/// Verdict on one attempt to deliver a batch.
#[derive(Debug, PartialEq, Eq)]
enum DeliveryOutcome {
    /// Accepted, but for a number of spans, with the receiver's reason.
    Accepted { rejected: u64, reason: String },
    /// Refused for the given reason, and not to be sent again.
    Refused(String),
    /// Not accepted now; the batch is sent again, after the delay that the receiver asks for.
    Retryable {
        reason: String,
        after: Option<Duration>,
    },
}

impl SpanExporter {
    /// Creates a tracer, and the exporter of its spans to the receiver behind `transport`.
    /// `resource` describes this server, and `stop` ends the exporter after the last request.
    pub fn new(
        options: TraceOptions,
        resource: ResourceAttributes,
        transport: impl SpanTransport,
        metrics: SpanMetrics,
        stop: CancellationToken,
    ) -> (Tracer, Self) {
        let (tracer, queued) = Tracer::new(options, metrics.clone());
        let QueuedSpans { receiver, dropped } = queued;
        let exporter = Self {
            receiver,
            dropped,
            transport: Box::new(transport),
            resource,
            metrics,
            stop,
            spans_in_delivery: 0,
            failed: 0,
            logged_at: None,
        };
        (tracer, exporter)
    }

    /// Exports spans until the exporter is stopped, and then the remaining ones for a short time.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let flush_expired = async move {
            stop.cancelled().await;
            sleep(FLUSH_TIMEOUT).await;
        };
        tokio::select! {
            () = self.export_until_stopped() => {}
            () = flush_expired => {}
        }
        let left = self.spans_in_delivery + self.receiver.len() as u64;
        let (dropped, left_out) = self.dropped.take();
        let lost = left + self.failed + dropped + left_out;
        self.count(SpanEnd::Failed, left);
        if lost > 0 {
            tracing::warn!(spans = lost, "spans lost at shutdown");
        }
    }

    async fn export_until_stopped(&mut self) {
        loop {
            let batch = self.next_batch().await;
            if batch.is_empty() {
                return;
            }
            self.export(&batch).await;
            if let Some(reason) = self.dropped.reason() {
                self.log_losses(reason);
            }
        }
    }

    /// Waits for the next batch. Empty once the exporter is stopped and nothing is left.
    async fn next_batch(&mut self) -> Vec<SpanRecord> {
        let mut batch = Vec::new();
        // Biased: what is queued wins over the stop, so that the queue is drained first.
        tokio::select! {
            biased;
            _ = self.receiver.recv_many(&mut batch, MAX_BATCH_SPANS) => {}
            () = self.stop.cancelled() => {}
        }
        if batch.is_empty() {
            return batch;
        }
        let mut interval = std::pin::pin!(sleep(EXPORT_INTERVAL));
        while batch.len() < MAX_BATCH_SPANS {
            let room = MAX_BATCH_SPANS - batch.len();
            tokio::select! {
                biased;
                count = self.receiver.recv_many(&mut batch, room) => if count == 0 {
                    break;
                },
                () = &mut interval => break,
                () = self.stop.cancelled() => break,
            }
        }
        batch
    }

    /// Delivers `batch`, and counts what became of it.
    async fn export(&mut self, batch: &[SpanRecord]) {
        let count = batch.len() as u64;
        self.spans_in_delivery = count;
        let body = otlp::encode_export(&self.resource, batch);
        let delivered = self.deliver(body).await;
        self.spans_in_delivery = 0;
        let (rejected, reason) = match delivered {
            Ok((rejected, reason)) => (rejected.min(count), reason),
            Err(reason) => (count, reason),
        };
        self.count(SpanEnd::Exported, count - rejected);
        self.count(SpanEnd::Failed, rejected);
        self.failed += rejected;
        // A receiver may accept all spans and still have a warning.
        if rejected > 0 || !reason.is_empty() {
            self.log_losses(&reason);
        }
    }

    /// Delivers an encoded batch, with retries. Returns how many spans the receiver did not take,
    /// and its reason.
    ///
    /// # Errors
    /// Fails with the reason when the receiver takes none of them.
    async fn deliver(&mut self, body: Bytes) -> Result<(u64, String), String> {
        let mut attempt = 1;
        loop {
            let answer = self.transport.post(body.clone()).await;
            let (reason, after) = match judge_answer(answer) {
                DeliveryOutcome::Accepted { rejected, reason } => return Ok((rejected, reason)),
                DeliveryOutcome::Refused(reason) => return Err(reason),
                DeliveryOutcome::Retryable { reason, after } => (reason, after),
            };
            if attempt == MAX_ATTEMPTS || self.stop.is_cancelled() {
                return Err(reason);
            }
            self.log_losses(&reason);
            let delay = after.unwrap_or_else(|| retry_delay(attempt));
            // A stop ends the wait, and leaves one more attempt.
            let waiting = sleep(delay.min(MAX_RETRY_DELAY));
            self.stop.run_until_cancelled(waiting).await;
            attempt += 1;
        }
    }

    fn count(&self, end: SpanEnd, spans: u64) {
        self.metrics.count_spans(end, spans);
    }

    /// Logs the number of lost spans since the last line, unless that was less than a minute ago.
    fn log_losses(&mut self, reason: &str) {
        if self
            .logged_at
            .is_some_and(|at| at.elapsed() < MIN_LOG_INTERVAL)
        {
            return;
        }
        self.logged_at = Some(Instant::now());
        let (dropped, left_out) = self.dropped.take();
        let failed = std::mem::take(&mut self.failed);
        let error = LogText(reason);
        tracing::warn!(dropped, left_out, failed, %error, "traces not exported");
    }
}

/// Decides by the protocol what an answer means.
fn judge_answer(answer: Result<ReceiverAnswer, String>) -> DeliveryOutcome {
    let ReceiverAnswer {
        status,
        retry_after,
        body,
    } = match answer {
        Ok(answer) => answer,
        Err(reason) => {
            return DeliveryOutcome::Retryable {
                reason,
                after: None,
            };
        }
    };
    match status {
        200..=299 => {
            let partial = otlp::partial_success(&body).unwrap_or_default();
            DeliveryOutcome::Accepted {
                rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
                reason: partial.error_message,
            }
        }
        429 | 502 | 503 | 504 => DeliveryOutcome::Retryable {
            reason: format!("the receiver answered {status}"),
            after: retry_after,
        },
        _ => DeliveryOutcome::Refused(format!("the receiver answered {status}")),
    }
}

/// Returns the delay after a failed attempt, with a jitter of a quarter up or down.
fn retry_delay(attempt: u32) -> Duration {
    let doubled = FIRST_RETRY_DELAY * 2_u32.saturating_pow(attempt - 1);
    doubled.mul_f64(0.75 + fastrand::f64() / 2.0)
}

impl std::fmt::Debug for SpanExporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SpanExporter")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "exporter_tests.rs"]
mod tests;
