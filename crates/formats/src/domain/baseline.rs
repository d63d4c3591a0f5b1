//! Costs of requests on the baseline, which savings are compared with.

use super::Money;

/// Cost of a request on the baseline: one model for all requests, and no cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BaselineCost {
    /// Cost of the same tokens on the baseline model, all of the prompt as plain input.
    pub total: Money,
    /// Saving by the prompt cache, at the prices of the model that answered. Negative if its writes
    /// cost more than its reads saved.
    pub prompt_cache: Money,
}
