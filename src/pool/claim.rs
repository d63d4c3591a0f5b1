//! Who asks for a worker, as far as the pool has to know.

use crate::fair::Tenant;

/// What a request says of itself when it asks for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// With whom it shares its turns and its part of the queue.
    pub tenant: Tenant,
    /// Whether somebody waits for it.
    pub class: Class,
}

/// Whether somebody waits for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody does: it goes before what nobody waits for, and waits no longer than the queue allows.
    Live,
    /// Nobody does: it waits until a worker is to spare, or it is its turn all the same.
    Background,
}

impl Claim {
    /// Of the server itself.
    pub fn own() -> Self {
        Self { tenant: Tenant::new("", 1), class: Class::Live }
    }
}
