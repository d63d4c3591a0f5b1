//! `[sessions]`: retention of sessions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Retention of sessions. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// Idle time after which a session is deleted.
    #[serde(rename = "idle_seconds", with = "seconds")]
    pub idle: Duration,
    /// Maximum number of sessions per key.
    pub max_sessions: usize,
    /// Maximum total size of all sessions, in bytes.
    pub max_bytes: usize,
}

impl SessionSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("sessions");
        check.seconds("idle_seconds", self.idle, 1)?;
        check.number("max_sessions", self.max_sessions, 1..=u32::MAX as usize)?;
        check.number("max_bytes", self.max_bytes, 1 << 20..=u32::MAX as usize)
    }
}
