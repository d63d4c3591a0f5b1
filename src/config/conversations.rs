//! `[conversations]`: what is kept of conversations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use super::seconds;

/// How long and how many conversations are kept. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversations {
    /// How long one is kept that is not changed.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Conversations that are kept.
    pub max_stored: usize,
    /// Bytes they may have together.
    pub max_stored_bytes: usize,
}

impl Conversations {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("conversations");
        check.seconds("ttl_seconds", self.time_to_live, 1)?;
        check.number("max_stored", self.max_stored, 1..=u32::MAX as usize)?;
        check.number(
            "max_stored_bytes",
            self.max_stored_bytes,
            1 << 20..=u32::MAX as usize,
        )
    }
}
