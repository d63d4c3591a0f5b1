//! Tracer whose spans a test reads, for tests of the parts that record.

use std::time::Duration;

use super::AttributeValue;
use super::GenAiConventions;
use super::SampleRatio;
use super::Sampler;
use super::TraceContext;
use super::TraceOptions;
use super::TracedUpstream;
use super::Tracer;
use super::span::SpanRecord;
use super::tracer::QueuedSpans;
use crate::telemetry::metrics::SpanMetrics;

/// Tracer with the receiving end of its queue.
pub(crate) struct TestTraces {
    pub(crate) tracer: Tracer,
    queued: QueuedSpans,
}

/// Span that the sampler has kept.
#[derive(Debug)]
pub(crate) struct KeptSpan(SpanRecord);

/// Spans that the sampler has kept, in the order of their ends within a request.
#[derive(Debug)]
pub(crate) struct KeptSpans(Vec<KeptSpan>);

impl TestTraces {
    /// Creates a tracer that keeps all traces.
    pub(crate) fn new() -> Self {
        Self::with(options(SampleRatio::ALL))
    }

    /// Creates a tracer that keeps only traces with a reason.
    pub(crate) fn of_failures() -> Self {
        Self::with(options(SampleRatio::NONE))
    }

    pub(crate) fn with(options: TraceOptions) -> Self {
        let (tracer, queued) = Tracer::new(options, SpanMetrics::default());
        Self { tracer, queued }
    }

    /// Takes the spans that were kept since the last call.
    pub(crate) fn take(&mut self) -> KeptSpans {
        let mut spans = Vec::new();
        while let Ok(span) = self.queued.receiver.try_recv() {
            spans.push(KeptSpan(span));
        }
        KeptSpans(spans)
    }

    /// Waits for the next `count` spans that are kept.
    pub(crate) async fn wait_for(&mut self, count: usize) -> KeptSpans {
        let mut spans = Vec::new();
        while spans.len() < count {
            let span = self.queued.receiver.recv().await;
            spans.push(KeptSpan(span.expect("a tracer is left")));
        }
        KeptSpans(spans)
    }
}

impl KeptSpans {
    /// Returns the names of all spans, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(KeptSpan::name).collect();
        names.sort_unstable();
        names
    }

    /// Returns the only span called `name`.
    pub(crate) fn only(&self, name: &str) -> &KeptSpan {
        let mut found = self.0.iter().filter(|span| span.name() == name);
        match (found.next(), found.next()) {
            (Some(span), None) => span,
            _ => panic!("not one span called {name}: {:?}", self.names()),
        }
    }

    /// Returns the name of the span above that called `name`.
    pub(crate) fn parent_of(&self, name: &str) -> Option<&str> {
        let id = self.only(name).0.parent_id?;
        let parent = self.0.iter().find(|span| span.0.span_id == id)?;
        Some(parent.name())
    }
}

impl KeptSpan {
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.0.end - self.0.start)
    }

    /// Returns the attribute `key` as text; empty if there is none.
    pub(crate) fn text(&self, key: &str) -> String {
        let found = self.0.attributes.iter().find(|(name, _)| *name == key);
        match found.map(|(_, value)| value) {
            None => String::new(),
            Some(AttributeValue::Text(text)) => text.clone(),
            Some(AttributeValue::Flag(flag)) => flag.to_string(),
            Some(AttributeValue::Integer(number)) => number.to_string(),
            Some(AttributeValue::Float(number)) => number.to_string(),
            Some(AttributeValue::Texts(texts)) => texts.join(","),
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.0.is_failed
    }

    pub(crate) fn context(&self) -> TraceContext {
        TraceContext {
            trace_id: self.0.trace_id,
            span_id: self.0.span_id,
            is_sampled: self.0.is_sampled,
            state: self.0.state.clone(),
        }
    }

    /// Returns the `traceparent` of the span that has caused this one, in another trace.
    pub(crate) fn cause(&self) -> Option<String> {
        self.0.link.as_ref().map(TraceContext::traceparent)
    }

    /// Returns the text of everything that leaves the server with the span.
    pub(crate) fn exported_text(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Returns options that keep the share `ratio`, and all requests above ten seconds.
pub(crate) fn options(ratio: SampleRatio) -> TraceOptions {
    TraceOptions {
        sampler: Sampler {
            ratio,
            follows_parent: true,
            keep_slower_than: Some(Duration::from_secs(10)),
        },
        conventions: GenAiConventions::V0_1,
        upstream: TracedUpstream {
            provider: "anthropic",
            address: Some("api.example".to_owned()),
            port: Some(443),
        },
    }
}
