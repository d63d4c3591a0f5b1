//! `[pool]`: the warm worker processes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Bounds of the worker pool. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// Maximum number of processes.
    pub max_workers: usize,
    /// Processes kept ready beyond those in use.
    pub prewarm: usize,
    /// Maximum number of requests that wait for a worker.
    pub queue_length: usize,
    /// Maximum wait for a worker.
    #[serde(rename = "queue_timeout_seconds", with = "seconds")]
    pub queue_timeout: Duration,
    /// Turns after which a process is replaced.
    pub max_turns: u32,
    /// Age after which a process is replaced.
    #[serde(rename = "max_age_seconds", with = "seconds")]
    pub max_age: Duration,
    /// Idle time after which a process beyond `prewarm` is ended.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// Idle time after which a process must pass a health check before it is leased.
    #[serde(rename = "idle_check_seconds", with = "seconds")]
    pub idle_check: Duration,
}

impl PoolSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("pool");
        check.number("max_workers", self.max_workers, 1..=1024)?;
        if self.prewarm > self.max_workers {
            return Err(check.refuse(
                "prewarm",
                format!(
                    "{} is above pool.max_workers, which is {}",
                    self.prewarm, self.max_workers
                ),
                "lower pool.prewarm or raise pool.max_workers",
            ));
        }
        check.number("queue_length", self.queue_length, 0..=1_000_000)?;
        check.seconds("queue_timeout_seconds", self.queue_timeout, 1)?;
        check.number("max_turns", self.max_turns as usize, 1..=u32::MAX as usize)?;
        check.seconds("max_age_seconds", self.max_age, 1)?;
        check.seconds("idle_timeout_seconds", self.idle_timeout, 1)?;
        check.seconds("idle_check_seconds", self.idle_check, 0)
    }
}
