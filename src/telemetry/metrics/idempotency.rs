//! Metrics of idempotency keys: requests with a key by what became of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;

/// Numbers of requests with an idempotency key. Clones share them.
#[derive(Debug, Clone)]
pub struct IdempotencyMetrics {
    requests: CounterFamily<ResultLabel>,
}

/// Result of a request with an idempotency key, as metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyResult {
    /// Answered anew.
    First,
    /// Given the answer to a request that was still running.
    Joined,
    /// Given the stored answer to an earlier request.
    Replayed,
    /// Refused, since its body is not that of the earlier request.
    Mismatch,
    /// Refused, since the earlier request was paid and has no answer that could be sent again.
    Interrupted,
    /// Refused, since another server answers the earlier request.
    InUse,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl IdempotencyResult {
    /// Returns the name of the result.
    const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Joined => "joined",
            Self::Replayed => "replayed",
            Self::Mismatch => "mismatch",
            Self::Interrupted => "interrupted",
            Self::InUse => "in_use",
        }
    }
}

impl Default for IdempotencyMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl IdempotencyMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = CounterFamily::default();
        registry.register(
            "idempotency_requests",
            "Requests with an idempotency key, by what became of them",
            requests.clone(),
        );
        Self { requests }
    }

    /// Counts a request with an idempotency key.
    pub fn count_request(&self, result: IdempotencyResult) {
        let label = ResultLabel {
            result: result.name(),
        };
        self.requests.get_or_create(&label).inc();
    }
}
