//! The time of day. A clock that is set before 1970 shows nothing.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Now, in seconds of Unix time.
pub fn unix_now() -> u64 {
    since_epoch().as_secs()
}

/// Now, in milliseconds of Unix time.
pub fn unix_now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
