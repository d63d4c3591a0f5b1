//! Durations as the configuration writes them: a number of seconds, whole or not (`15`, `0.5`).

use std::time::Duration;

use serde::Deserialize as _;
use serde::Deserializer;
use serde::Serializer;
use serde::de::Error as _;

/// The longest that makes sense; more would overflow the clock of some systems.
const LONGEST: f64 = 366.0 * 24.0 * 3600.0;

/// Reads a number of seconds above 0.
///
/// # Errors
/// When it is no number, not above 0, or longer than a year.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds > 0.0 && seconds <= LONGEST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(D::Error::custom(format!("{seconds} is not a number of seconds above 0 and up to a year")))
    }
}

/// Writes the number of seconds.
///
/// # Errors
/// When the serializer fails.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
