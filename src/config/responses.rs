//! `[responses]`: what is kept of responses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use super::seconds;

/// How long and how many responses are kept. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responses {
    /// How long a response is kept.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Responses that are kept.
    pub max_stored: usize,
    /// Bytes they may have together.
    pub max_stored_bytes: usize,
}

impl Responses {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("responses");
        check.seconds("ttl_seconds", self.time_to_live, 1)?;
        check.number("max_stored", self.max_stored, 1..=u32::MAX as usize)?;
        check.number(
            "max_stored_bytes",
            self.max_stored_bytes,
            1 << 20..=u32::MAX as usize,
        )
    }
}
