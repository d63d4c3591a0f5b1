//! Tracer: the handle through which parts of the server begin spans.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::anonymous_limit::AnonymousLimit;
use super::context::TraceContext;
use super::options::TraceOptions;
use super::segment::OpenSpan;
use super::segment::SpanScope;
use super::span::SpanKind;
use super::span::SpanRecord;
use crate::domain::RequestTrace;
use crate::telemetry::metrics::SpanEnd;
use crate::telemetry::metrics::SpanMetrics;

/// Maximum number of ended spans that wait for the exporter.
pub(super) const MAX_QUEUED_SPANS: usize = 2048;

/// Handle that begins spans. Clones share the queue; the default one records nothing.
#[derive(Clone, Default)]
pub struct Tracer(pub(super) Option<Arc<TracerInner>>);

pub(super) struct TracerInner {
    pub(super) options: TraceOptions,
    pub(super) queue: SpanQueue,
    pub(super) anonymous: AnonymousLimit,
}

/// Queue of ended spans, which never waits.
pub(super) struct SpanQueue {
    sender: mpsc::Sender<SpanRecord>,
    metrics: SpanMetrics,
    dropped: Arc<DroppedSpans>,
}

/// Receiving end of the queue, for the exporter.
pub(super) struct QueuedSpans {
    pub(super) receiver: mpsc::Receiver<SpanRecord>,
    pub(super) dropped: Arc<DroppedSpans>,
}

/// Numbers of spans dropped since the exporter last took them, by the reason.
#[derive(Debug, Default)]
pub(super) struct DroppedSpans {
    /// Spans for which the queue had no room.
    pub(super) without_room: AtomicU64,
    /// Spans beyond the maximum of their request.
    pub(super) left_out: AtomicU64,
}

/// Request that has created a batch, which the spans of the batch's lines are linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTraceLink(TraceContext);

impl Tracer {
    /// Creates a tracer whose spans end in the returned queue.
    pub(super) fn new(options: TraceOptions, metrics: SpanMetrics) -> (Self, QueuedSpans) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_SPANS);
        let dropped = Arc::<DroppedSpans>::default();
        let queue = SpanQueue {
            sender,
            metrics,
            dropped: Arc::clone(&dropped),
        };
        let inner = Arc::new(TracerInner {
            options,
            queue,
            anonymous: AnonymousLimit::default(),
        });
        (Self(Some(inner)), QueuedSpans { receiver, dropped })
    }

    /// True if spans are recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request, in the trace of its client or in a new one. `None` while
    /// traces are off.
    pub fn begin_request(
        &self,
        name: impl Into<Cow<'static, str>>,
        parent: Option<&TraceContext>,
    ) -> Option<OpenSpan> {
        let tracer = self.0.as_ref()?;
        let is_sampled = parent.map(|parent| parent.is_sampled);
        let kind = SpanKind::Server;
        Some(OpenSpan::begin_first(
            tracer, parent, is_sampled, name, kind,
        ))
    }
}

impl SpanQueue {
    /// Queues the spans of a request as a whole, or drops them if there is no room for all.
    /// `left_out` more were dropped before.
    pub(super) fn offer(&self, spans: Vec<SpanRecord>, left_out: u64) {
        let mut without_room = 0;
        match self.sender.try_reserve_many(spans.len()) {
            Ok(places) => {
                for (place, span) in places.zip(spans) {
                    place.send(span);
                }
            }
            Err(_) => without_room = spans.len() as u64,
        }
        let dropped = &self.dropped;
        for (number, count) in [
            (&dropped.without_room, without_room),
            (&dropped.left_out, left_out),
        ] {
            if count > 0 {
                self.metrics.count_spans(SpanEnd::Dropped, count);
                number.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl DroppedSpans {
    /// Takes the numbers of spans without room and of those left out.
    pub(super) fn take(&self) -> (u64, u64) {
        let without_room = self.without_room.swap(0, Ordering::Relaxed);
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        (without_room, left_out)
    }

    /// Returns the reason for the log; `None` if no span was dropped.
    pub(super) fn reason(&self) -> Option<&'static str> {
        if self.without_room.load(Ordering::Relaxed) > 0 {
            Some("the queue was full")
        } else if self.left_out.load(Ordering::Relaxed) > 0 {
            Some("a request had too many spans")
        } else {
            None
        }
    }
}

impl BatchTraceLink {
    /// Returns the `traceparent` of the request that `trace` belongs to, to be stored with its
    /// batch.
    pub fn to_stored(trace: &RequestTrace) -> Option<String> {
        SpanScope::from_trace(trace).map(|scope| scope.context().traceparent())
    }

    /// Returns the trace of the lines of a batch that was stored with `traceparent`.
    pub fn from_stored(traceparent: Option<&str>) -> RequestTrace {
        let cause = traceparent.and_then(|text| TraceContext::parse(text, None));
        let trace = cause.map(|cause| RequestTrace::new(Self(cause)));
        trace.unwrap_or_default()
    }

    pub(super) fn cause(&self) -> &TraceContext {
        &self.0
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Tracer")
            .field(&self.is_on())
            .finish()
    }
}
