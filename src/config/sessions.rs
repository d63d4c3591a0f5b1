//! `[sessions]`: what is kept of sessions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use super::seconds;

/// How long and how many sessions are kept. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// How long a session is kept in which nothing is said.
    #[serde(rename = "idle_seconds", with = "seconds")]
    pub idle: Duration,
    /// Sessions of one key.
    pub max_sessions: usize,
    /// Bytes of all sessions together.
    pub max_bytes: usize,
}

impl Sessions {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("sessions");
        check.seconds("idle_seconds", self.idle, 1)?;
        check.number("max_sessions", self.max_sessions, 1..=u32::MAX as usize)?;
        check.number("max_bytes", self.max_bytes, 1 << 20..=u32::MAX as usize)
    }
}
