//! Fair queueing of a scarce resource among tenants.
//!
//! Deficit round robin in which each turn costs the same: [`FairQueue`] is the queue, with one line
//! per tenant, and [`FairSemaphore`] is a semaphore on top of it. The meaning of a tenant and of a turn
//! is up to the caller.

mod permits;
mod rounds;

use std::sync::Arc;

pub use permits::{FairPermit, FairSemaphore};
pub use rounds::FairQueue;

/// A tenant: an id, and the number of its turns in each round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    id: Arc<str>,
    weight: u32,
}

impl Tenant {
    /// Creates the tenant `id` with `weight` turns in each round, at least one.
    pub fn new(id: &str, weight: u32) -> Self {
        Self {
            id: id.into(),
            weight: weight.max(1),
        }
    }

    /// Returns the id of the tenant.
    pub fn id(&self) -> &str {
        &self.id
    }
}
