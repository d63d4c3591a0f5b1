//! `[cache]`: the response cache.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Settings of the response cache. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Selects which answers are cached.
    pub mode: CacheMode,
    /// Maximum memory of the cache, in bytes.
    pub max_bytes: usize,
    /// Time to live of a cached answer.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
}

/// Selection of the answers that are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Caches no answers.
    Off,
    /// Caches answers to requests with temperature 0 or a seed.
    Deterministic,
    /// Caches answers to all requests.
    All,
}

impl CacheSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("cache");
        check.number("max_bytes", self.max_bytes, 1 << 20..=1 << 40)?;
        check.seconds("ttl_seconds", self.time_to_live, 1)
    }
}
