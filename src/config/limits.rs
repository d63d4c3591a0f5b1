//! `[limits]`: how often and how much a key may ask.

use serde::{Deserialize, Serialize};

use crate::domain::Rates;

/// The limits of a key that has none of its own; 0 for no limit. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Tokens a minute, of prompts and answers.
    pub tokens_per_minute: u32,
    /// Requests at the same time.
    pub concurrent_requests: u32,
}

impl Limits {
    /// As the parts know them.
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
