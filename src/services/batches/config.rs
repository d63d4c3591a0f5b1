//! Settings of batches.

use std::time::Duration;

use serde::Deserialize;

use crate::runtime::setting;

/// Limits of the batch service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Maximum number of concurrent lines of all batches; 0 for a third of the pool.
    #[serde(deserialize_with = "setting::number::<0, 1024, _, _>")]
    pub parallel: usize,
    /// Maximum length of a line, in bytes; that of a request body.
    #[serde(skip)]
    pub max_line_bytes: usize,
    /// Time that a finished batch is kept.
    #[serde(rename = "ttl_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub time_to_live: Duration,
}

impl Config {
    /// Returns the settings for a pool of `workers`, which the default of `parallel` depends on.
    #[must_use]
    pub fn for_pool(self, workers: usize) -> Self {
        let parallel = match self.parallel {
            0 => (workers / 3).max(1),
            chosen => chosen,
        };
        Self { parallel, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Duration};

    #[test]
    fn default_batch_share_is_a_third_of_the_pool_and_at_least_one() {
        let share = |parallel, workers| {
            let config = Config {
                parallel,
                max_line_bytes: 0,
                time_to_live: Duration::ZERO,
            };
            config.for_pool(workers).parallel
        };
        assert_eq!(
            [share(0, 1), share(0, 5), share(0, 9), share(4, 1)],
            [1, 1, 3, 4]
        );
    }
}
