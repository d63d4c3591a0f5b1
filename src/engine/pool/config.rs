//! Settings of the pool.

use std::time::Duration;

/// Bounds of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Maximum number of workers, idle and starting ones included; at least 1.
    pub max_workers: usize,
    /// Number of workers kept ready beyond those in use.
    pub prewarm: usize,
    /// Maximum number of workers that start at a time; at least 1. A start takes a whole core, so
    /// more concurrent starts take longer each and may time out on a loaded machine.
    pub max_starting: usize,
    /// Maximum number of requests that wait when all workers are in use.
    pub queue_length: usize,
    /// Maximum wait of a live request.
    pub queue_timeout: Duration,
    /// Number of turns after which a worker is replaced.
    pub max_turns: u32,
    /// Age after which a worker is replaced, once it is idle.
    pub max_age: Duration,
    /// Idle time after which a worker beyond `prewarm` is ended.
    pub idle_timeout: Duration,
    /// Idle time after which a worker must pass a health check before it is lent.
    pub check_after: Duration,
}
