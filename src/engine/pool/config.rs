//! What an operator decides about the pool.

use std::time::Duration;

/// Bounds of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The most workers there may be at a time, idle and starting ones included; at least 1.
    pub max_workers: usize,
    /// How many workers are kept ready beyond those in use.
    pub prewarm: usize,
    /// How many workers may be starting at a time; at least 1. A start takes a core, so with more all take longer, on a loaded machine
    /// longer than they may.
    pub max_starting: usize,
    /// How many requests may wait when all workers are in use.
    pub queue_length: usize,
    /// How long a request may wait.
    pub queue_timeout: Duration,
    /// After so many turns a worker is replaced.
    pub max_turns: u32,
    /// A worker older than this is replaced, once it is idle.
    pub max_age: Duration,
    /// A worker beyond `prewarm` that was idle for so long is ended.
    pub idle_timeout: Duration,
    /// A worker that was idle for so long is lent only once it has given a sign of life.
    pub check_after: Duration,
}
