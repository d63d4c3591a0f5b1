//! Settings of the pool.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use serde::Deserialize;

use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Bounds of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Maximum number of workers, idle and starting ones included; at least 1.
    #[serde(deserialize_with = "setting::number::<1, 1024, _, _>")]
    pub max_workers: usize,
    /// Number of workers kept ready beyond those in use.
    pub prewarm: usize,
    /// Maximum number of workers that start at a time; at least 1. A start takes a whole core, so
    /// more concurrent starts take longer each and may time out on a loaded machine. No setting.
    #[serde(skip, default = "default_max_starting")]
    pub max_starting: usize,
    /// Maximum number of requests that wait when all workers are in use.
    #[serde(deserialize_with = "setting::number::<0, 1_000_000, _, _>")]
    pub queue_length: usize,
    /// Maximum wait of a live request.
    #[serde(rename = "queue_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub queue_timeout: Duration,
    /// Number of turns after which a worker is replaced.
    #[serde(deserialize_with = "setting::number::<1, { u32::MAX as u64 }, _, _>")]
    pub max_turns: u32,
    /// Age after which a worker is replaced, once it is idle.
    #[serde(rename = "max_age_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub max_age: Duration,
    /// Idle time after which a worker beyond `prewarm` is ended.
    #[serde(rename = "idle_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub idle_timeout: Duration,
    /// Idle time after which a worker must pass a health check before it is lent.
    #[serde(rename = "idle_check_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub check_after: Duration,
}

impl Config {
    /// Checks that the prewarmed workers fit in the pool.
    ///
    /// # Errors
    /// Fails when there are too many.
    pub fn check(&self) -> Result<(), SettingRefusal> {
        if self.prewarm <= self.max_workers {
            return Ok(());
        }
        Err(SettingRefusal {
            key: "prewarm",
            message: format!(
                "{} is above pool.max_workers, which is {}",
                self.prewarm, self.max_workers
            ),
            hint: "lower pool.prewarm or raise pool.max_workers".to_owned(),
        })
    }
}

/// Returns one start for each core, and at least two.
fn default_max_starting() -> usize {
    available_parallelism().map_or(2, NonZero::get).max(2)
}
