//! `[cache]`: answers that are given again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use super::seconds;

/// How much is kept, of what, and how long. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Whose answers are kept.
    pub mode: CacheMode,
    /// Bytes of memory they may take together.
    pub max_bytes: usize,
    /// How long an answer is kept.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
}

/// Whose answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Nobody's.
    Off,
    /// Those of requests with the temperature 0 or a seed.
    Deterministic,
    /// Everybody's.
    All,
}

impl Cache {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("cache");
        check.number("max_bytes", self.max_bytes, 1 << 20..=1 << 40)?;
        check.seconds("ttl_seconds", self.time_to_live, 1)
    }
}
