//! Who asks for a worker, as far as the pool has to know.

use crate::runtime::fair_queue::Tenant;

/// What a request says of itself when it asks for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The tenant whose turns and whose places in the queue the request uses.
    pub tenant: Tenant,
    /// Whether somebody waits for it.
    pub class: Class,
}

/// Whether somebody waits for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A client waits: served before background requests, and queued for no longer than the queue timeout.
    Live,
    /// No client waits: queued without a time limit behind live requests, but served after at most 15 of them in a row.
    Background,
}

impl Claim {
    /// A live claim of the server itself, such as for listing the models.
    pub fn own() -> Self {
        Self {
            tenant: Tenant::new("", 1),
            class: Class::Live,
        }
    }
}
