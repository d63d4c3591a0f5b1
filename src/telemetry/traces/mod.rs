//! Traces in the form of OpenTelemetry: spans that show where the time of a request went.
//!
//! A span stays in memory while its work runs. The sampler decides on the spans of a request
//! together, when the last of them has ended, so that errors, refusals and slow requests of callers
//! are never sampled away (`sampler`). The number of sampled requests without a caller is bounded
//! (`anonymous_limit`). Sampled spans go through a bounded queue to one exporter task (`exporter`),
//! for which no request waits. Messages, prompts and inputs of tools are in no span.
//!
//! Without a receiver there is no [`Tracer`] behind the handle, and nothing is recorded or
//! allocated.

mod agent;
mod anonymous_limit;
mod attribute;
mod chat;
mod context;
mod exporter;
mod options;
mod otlp;
mod sampler;
mod segment;
mod semconv;
mod span;
#[cfg(test)]
pub(crate) mod testing;
mod tracer;

pub use agent::AgentSpan;
pub use attribute::AttributeValue;
pub use chat::ChatSpan;
pub use context::TraceContext;
pub use exporter::ReceiverAnswer;
pub use exporter::SpanExporter;
pub use exporter::SpanTransport;
pub use options::ResourceAttributes;
pub use options::TraceOptions;
pub use options::TracedUpstream;
pub use sampler::SampleRatio;
pub use sampler::Sampler;
pub use segment::OpenSpan;
pub use segment::SpanScope;
pub use segment::child_span;
pub use semconv::GenAiConventions;
pub use semconv::keys;
pub use span::SpanKind;
pub use tracer::BatchTraceLink;
pub use tracer::Tracer;
