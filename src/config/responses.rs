//! `[responses]`: retention of stored responses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Retention of stored responses. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseSettings {
    /// Time to live of a response.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Maximum number of stored responses.
    pub max_stored: usize,
    /// Maximum total size of stored responses, in bytes.
    pub max_stored_bytes: usize,
}

impl ResponseSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("responses");
        check.seconds("ttl_seconds", self.time_to_live, 1)?;
        check.number("max_stored", self.max_stored, 1..=u32::MAX as usize)?;
        check.number(
            "max_stored_bytes",
            self.max_stored_bytes,
            1 << 20..=u32::MAX as usize,
        )
    }
}
