//! `[limits]`: default rate limits of a key.

use serde::{Deserialize, Serialize};

use crate::domain::Rates;

/// Rate limits of a key that has none of its own; 0 for no limit. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Maximum requests per minute.
    pub requests_per_minute: u32,
    /// Maximum tokens per minute, of prompts and answers together.
    pub tokens_per_minute: u32,
    /// Maximum number of concurrent requests.
    pub concurrent_requests: u32,
}

impl RateLimitSettings {
    /// Returns the limits as domain rates, where `None` means no limit.
    pub fn key_rates(&self) -> Rates {
        let limit = |limit| Some(limit).filter(|limit| *limit > 0);
        Rates {
            requests_per_minute: limit(self.requests_per_minute),
            tokens_per_minute: limit(self.tokens_per_minute),
            concurrent_requests: limit(self.concurrent_requests),
            weight: None,
        }
    }
}
