//! The time of day.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Now, in seconds of Unix time.
pub(super) fn now() -> u64 {
    since_epoch().as_secs()
}

/// Now, in milliseconds of Unix time.
pub(super) fn now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
