//! Options of the traces, as the settings of the server give them.

use super::sampler::Sampler;
use super::semconv::GenAiConventions;

/// Options of recorded spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// Rules by which traces are kept.
    pub sampler: Sampler,
    /// Version of the conventions that names the attributes of turns and agents.
    pub conventions: GenAiConventions,
    /// Destination of the calls to the model.
    pub upstream: TracedUpstream,
}

/// Destination of the calls to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedUpstream {
    /// Name of the provider in the conventions, such as `anthropic`.
    pub provider: &'static str,
    /// Host of the calls, if it is known.
    pub address: Option<String>,
    /// Port of the calls, if the host is known.
    pub port: Option<u16>,
}

/// Names and values that describe this server in each export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceAttributes(pub Vec<(String, String)>);
