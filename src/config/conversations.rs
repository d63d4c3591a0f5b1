//! `[conversations]`: retention of conversations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Retention of conversations. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationSettings {
    /// Time to live of a conversation since its last change.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Maximum number of stored conversations.
    pub max_stored: usize,
    /// Maximum total size of stored conversations, in bytes.
    pub max_stored_bytes: usize,
}

impl ConversationSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("conversations");
        check.seconds("ttl_seconds", self.time_to_live, 1)?;
        check.number("max_stored", self.max_stored, 1..=u32::MAX as usize)?;
        check.number(
            "max_stored_bytes",
            self.max_stored_bytes,
            1 << 20..=u32::MAX as usize,
        )
    }
}
