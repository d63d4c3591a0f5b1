//! Metrics of the spans of traces, by their outcome.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;

/// Numbers of spans that were kept by the sampler. Clones share them.
#[derive(Debug, Clone)]
pub struct SpanMetrics {
    spans: CounterFamily<OutcomeLabel>,
}

/// End of a span that the sampler has kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanEnd {
    /// Accepted by the receiver.
    Exported,
    /// Dropped here: the queue was full, or the request had too many spans.
    Dropped,
    /// Lost, because the receiver refused it or could not be reached in time.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl SpanEnd {
    const ALL: [Self; 3] = [Self::Exported, Self::Dropped, Self::Failed];

    fn label(self) -> OutcomeLabel {
        let outcome = match self {
            Self::Exported => "exported",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        };
        OutcomeLabel { outcome }
    }
}

impl Default for SpanMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl SpanMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let spans = CounterFamily::default();
        // The first lost span is then an increase.
        for end in SpanEnd::ALL {
            drop(spans.get_or_create(&end.label()));
        }
        registry.register(
            "trace_spans",
            "Spans of traces by what became of them",
            spans.clone(),
        );
        Self { spans }
    }

    /// Counts `spans` that ended in this way.
    pub fn count_spans(&self, end: SpanEnd, spans: u64) {
        self.spans.get_or_create(&end.label()).inc_by(spans);
    }
}
