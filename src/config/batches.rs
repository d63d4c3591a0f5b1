//! `[batches]`: share of the pool for batches, and retention.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Settings of batches. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Maximum number of batch lines that run at a time; 0 for a third of the pool.
    pub parallel: usize,
    /// Retention of a finished batch.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
}

impl BatchSettings {
    /// Returns how many lines run at a time with a pool of `workers`.
    pub fn share_of(&self, workers: usize) -> usize {
        if self.parallel == 0 {
            (workers / 3).max(1)
        } else {
            self.parallel
        }
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("batches");
        check.number("parallel", self.parallel, 0..=1024)?;
        check.seconds("ttl_seconds", self.time_to_live, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchSettings, Duration};

    #[test]
    fn default_batch_share_is_a_third_of_the_pool_and_at_least_one() {
        let share = |parallel, workers| {
            BatchSettings {
                parallel,
                time_to_live: Duration::ZERO,
            }
            .share_of(workers)
        };
        assert_eq!(
            [share(0, 1), share(0, 5), share(0, 9), share(4, 1)],
            [1, 1, 3, 4]
        );
    }
}
