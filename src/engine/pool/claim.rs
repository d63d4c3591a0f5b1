//! Claims: the data about a request that the pool schedules by.

use crate::runtime::fair_queue::Tenant;
use crate::telemetry::traces::SpanScope;

/// Request for a worker, as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Tenant whose turns and queue places the request uses.
    pub tenant: Tenant,
    /// Scheduling class of the request.
    pub class: Class,
    /// Span below which the wait and the lease are recorded.
    pub span: Option<SpanScope>,
}

/// Scheduling class: live or background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Live request, for which a client waits: served before background requests, and queued no
    /// longer than the queue timeout.
    Live,
    /// Background request, for which no client waits: queued without a time limit behind live
    /// requests, but served after at most 15 consecutive ones.
    Background,
}

impl Class {
    /// Returns the name for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Background => "background",
        }
    }
}

impl Claim {
    /// Returns a live claim of the server itself, such as for listing the models.
    pub fn own() -> Self {
        Self {
            tenant: Tenant::new("", 1),
            class: Class::Live,
            span: None,
        }
    }
}
