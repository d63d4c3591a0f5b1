//! Fair sharing of something scarce among tenants.
//!
//! Deficit round robin in which each turn costs the same: [`Rounds`] keeps what waits, a line for each tenant, and [`Permits`] is a semaphore
//! on it. Knows neither what a tenant is nor what a turn is of; each turn counts the same.

mod permits;
#[cfg(test)]
mod permits_tests;
mod rounds;
#[cfg(test)]
mod rounds_tests;

use std::sync::Arc;

pub use permits::{FairPermit, Permits};
pub use rounds::Rounds;

/// One of those who share: an id, and the number of its turns in each round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    id: Arc<str>,
    weight: u32,
}

impl Tenant {
    /// The tenant `id`, who has `weight` turns in each round, one at least.
    pub fn new(id: &str, weight: u32) -> Self {
        Self {
            id: id.into(),
            weight: weight.max(1),
        }
    }
}
