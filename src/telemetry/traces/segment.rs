//! Segments of traces: the spans of one request, which are kept or left out together.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::SystemTime;

use tokio::time::Instant;

use super::attribute::AttributeValue;
use super::attribute::truncate_text;
use super::context::TraceContext;
use super::context::TraceId;
use super::context::new_span_id;
use super::context::new_trace_id;
use super::sampler::SegmentEnd;
use super::semconv::keys;
use super::span::SpanKind;
use super::span::SpanRecord;
use super::tracer::TracerInner;
use crate::domain::RequestTrace;

/// Maximum number of spans of a segment: a task may call tools without end.
const MAX_SEGMENT_SPANS: usize = 512;

/// Spans of one request, or of other work that ends as a whole. The sampler decides when the last
/// span ends, because each open span holds the segment.
struct Segment {
    tracer: Arc<TracerInner>,
    trace_id: TraceId,
    /// Decision of the caller that began the trace; `None` for a trace that began here.
    parent: Option<bool>,
    /// Decision at the start.
    is_sampled: bool,
    state: Option<Arc<str>>,
    clock: SegmentClock,
    /// Ended spans. Held for a few instructions and never across an await.
    ended: Mutex<EndedSpans>,
}

#[derive(Default)]
struct EndedSpans {
    spans: Vec<SpanRecord>,
    /// Number of spans beyond [`MAX_SEGMENT_SPANS`], each of which has replaced an earlier one.
    left_out: usize,
    is_failed_or_refused: bool,
    is_anonymous: bool,
}

/// Clock whose times never run backwards, and follow the paused time of tests.
struct SegmentClock {
    started_at: Instant,
    /// Nanoseconds since the Unix epoch at the start.
    started_nanos: u64,
}

/// Span of running work. Dropping it ends the span.
pub struct OpenSpan {
    record: SpanRecord,
    started_at: Instant,
    segment: Arc<Segment>,
}

/// Span under which further ones are recorded, as it is carried beside a caller. Does not keep its
/// segment open.
#[derive(Clone)]
pub struct SpanScope {
    context: TraceContext,
    parent: Option<bool>,
    segment: Weak<Segment>,
    tracer: Arc<TracerInner>,
}

/// Begins a span below the place of `trace`; `None` while traces are off, and once the spans of the
/// request are complete.
pub fn child_span(trace: &RequestTrace, name: &'static str) -> Option<OpenSpan> {
    SpanScope::from_trace(trace)?.child(name)
}

impl SegmentClock {
    fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started_at: Instant::now(),
            started_nanos: nanos(since_epoch.unwrap_or_default()),
        }
    }

    fn nanos_at(&self, time: Instant) -> u64 {
        let since_start = time.saturating_duration_since(self.started_at);
        self.started_nanos.saturating_add(nanos(since_start))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Segment {
    /// Begins a segment of the trace of `context`, or of a new trace.
    fn begin(
        tracer: &Arc<TracerInner>,
        context: Option<&TraceContext>,
        parent: Option<bool>,
    ) -> Arc<Self> {
        let trace_id = context.map_or_else(new_trace_id, |context| context.trace_id);
        Arc::new(Self {
            tracer: Arc::clone(tracer),
            trace_id,
            parent,
            is_sampled: tracer.options.sampler.decide_at_start(trace_id, parent),
            state: context.and_then(|context| context.state.clone()),
            clock: SegmentClock::start(),
            ended: Mutex::default(),
        })
    }

    fn collect(&self, record: SpanRecord) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.is_failed_or_refused |= record.is_failed_or_refused;
        ended.is_anonymous |= record.is_anonymous;
        if ended.spans.len() < MAX_SEGMENT_SPANS {
            ended.spans.push(record);
        } else {
            // The span that ended first gives way: those above others end last, so that what is left
            // is a tree.
            let place = ended.left_out % MAX_SEGMENT_SPANS;
            ended.spans[place] = record;
            ended.left_out += 1;
        }
    }
}

impl Drop for Segment {
    /// Decides on the spans: the last of them has ended.
    fn drop(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let spans = std::mem::take(&mut ended.spans);
        let first = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let last = spans.iter().map(|span| span.end).max().unwrap_or(0);
        let end = SegmentEnd {
            is_failed_or_refused: ended.is_failed_or_refused,
            duration: Duration::from_nanos(last.saturating_sub(first)),
        };
        let TracerInner {
            options,
            queue,
            anonymous,
        } = &*self.tracer;
        let is_kept = options.sampler.decide_at_end(self.is_sampled, end);
        if is_kept && (!ended.is_anonymous || anonymous.admit()) {
            queue.offer(spans, ended.left_out as u64);
        }
    }
}

impl OpenSpan {
    /// Begins the first span of a segment: in the trace of `context`, or in a new trace.
    pub(super) fn begin_first(
        tracer: &Arc<TracerInner>,
        context: Option<&TraceContext>,
        parent: Option<bool>,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
    ) -> Self {
        let segment = Segment::begin(tracer, context, parent);
        let mut span = Self::begin(segment, context, name.into(), kind);
        span.record.has_remote_parent = context.is_some() && kind == SpanKind::Server;
        span
    }

    fn begin(
        segment: Arc<Segment>,
        above: Option<&TraceContext>,
        name: Cow<'static, str>,
        kind: SpanKind,
    ) -> Self {
        let started_at = Instant::now();
        let name = match name {
            Cow::Owned(name) if truncate_text(&name).len() < name.len() => {
                Cow::Owned(truncate_text(&name).to_owned())
            }
            name => name,
        };
        let record = SpanRecord {
            trace_id: segment.trace_id,
            span_id: new_span_id(),
            parent_id: above.map(|above| above.span_id),
            is_sampled: segment.is_sampled,
            state: segment.state.clone(),
            name,
            kind,
            start: segment.clock.nanos_at(started_at),
            ..SpanRecord::default()
        };
        Self {
            record,
            started_at,
            segment,
        }
    }

    /// Begins a span below this one.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        let segment = Arc::clone(&self.segment);
        Self::begin(segment, Some(&self.context()), name.into(), kind)
    }

    /// Sets an attribute, replacing an earlier value.
    pub fn set(&mut self, key: &'static str, value: impl Into<AttributeValue>) {
        self.record.set(key, value.into());
    }

    /// Sets an attribute if there is a value.
    pub fn set_if_some(&mut self, key: &'static str, value: Option<impl Into<AttributeValue>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Links the span to one of another trace that has caused it.
    pub fn link(&mut self, cause: TraceContext) {
        self.record.link = Some(cause);
    }

    /// Marks the work as failed, by an error code of a finite set. The spans are then kept.
    pub fn fail(&mut self, error_code: &str) {
        self.record.is_failed = true;
        self.refuse(error_code);
    }

    /// Marks the work as refused or left by its client, which is no failure of this server. The
    /// spans are then kept.
    pub fn refuse(&mut self, error_code: &str) {
        self.record.is_failed_or_refused = true;
        self.set(keys::ERROR_TYPE, error_code);
    }

    /// Marks a request that has no caller: no key, or none that is valid. Whatever its end is, only
    /// a bounded number of these is kept.
    pub fn mark_anonymous(&mut self) {
        self.record.is_anonymous = true;
    }

    /// Returns the time since the span began.
    pub fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Returns the position of the span, for other processes.
    pub fn context(&self) -> TraceContext {
        TraceContext {
            trace_id: self.record.trace_id,
            span_id: self.record.span_id,
            is_sampled: self.record.is_sampled,
            state: self.record.state.clone(),
        }
    }

    /// Returns the scope that records below this span.
    pub fn scope(&self) -> SpanScope {
        SpanScope {
            context: self.context(),
            parent: self.segment.parent,
            segment: Arc::downgrade(&self.segment),
            tracer: Arc::clone(&self.segment.tracer),
        }
    }

    /// Returns the scope of this span as callers carry it.
    pub fn request_trace(&self) -> RequestTrace {
        RequestTrace::new(self.scope())
    }

    pub(super) fn tracer(&self) -> &TracerInner {
        &self.segment.tracer
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.record.end = self.segment.clock.nanos_at(Instant::now());
        self.segment.collect(std::mem::take(&mut self.record));
    }
}

impl SpanScope {
    /// Returns the scope that `trace` carries; `None` while traces are off.
    pub fn from_trace(trace: &RequestTrace) -> Option<&Self> {
        trace.get()
    }

    /// Returns the position of the span, for other processes.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Begins a span below this one; `None` once the spans of the request are complete.
    pub fn child(&self, name: &'static str) -> Option<OpenSpan> {
        let segment = self.segment.upgrade()?;
        let above = Some(&self.context);
        let kind = SpanKind::Internal;
        Some(OpenSpan::begin(segment, above, name.into(), kind))
    }

    /// Begins a span below this one: in the segment of the request, or in a new one if that segment
    /// is complete.
    pub(super) fn child_or_detached(&self, name: String, kind: SpanKind) -> OpenSpan {
        match self.segment.upgrade() {
            Some(segment) => OpenSpan::begin(segment, Some(&self.context), name.into(), kind),
            None => self.detached(name, kind),
        }
    }

    /// Begins a span below this one for work that outlives the request, in a segment of its own.
    pub fn detached(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> OpenSpan {
        OpenSpan::begin_first(&self.tracer, Some(&self.context), self.parent, name, kind)
    }

    /// Begins the span of a message on the socket that this request has opened: in the trace of the
    /// client if it has given one, else in a trace of its own that is linked to this one, because a
    /// socket may stay open for days.
    pub fn begin_message(&self, name: impl Into<Cow<'static, str>>) -> OpenSpan {
        let kind = SpanKind::Server;
        if self.parent.is_some() {
            let mut span = self.detached(name, kind);
            span.record.has_remote_parent = false;
            return span;
        }
        let mut span = OpenSpan::begin_first(&self.tracer, None, None, name, kind);
        span.link(self.context.clone());
        span
    }
}

impl PartialEq for SpanScope {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context
    }
}

impl Eq for SpanScope {}

impl fmt::Debug for OpenSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("OpenSpan")
            .field(&self.record.name)
            .finish()
    }
}

impl fmt::Debug for SpanScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("SpanScope")
            .field(&self.context)
            .finish()
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
