//! Current time, and the calendar in UTC. A system clock before 1970 reads as 0.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Number of seconds in a day.
pub const SECONDS_A_DAY: u64 = 24 * 60 * 60;
/// 31 December 9999: the upper bound for clocks that are set wrong.
const LAST_DAY: u32 = 2_932_896;

/// Returns the current Unix time in seconds.
pub fn unix_now() -> u64 {
    since_epoch().as_secs()
}

/// Returns the current Unix time in milliseconds.
pub fn unix_now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Returns the day of a Unix time in seconds, as days since 1 January 1970; clamped to the end of
/// the year 9999.
pub fn day_from_unix(seconds: u64) -> u32 {
    u32::try_from(seconds / SECONDS_A_DAY)
        .unwrap_or(LAST_DAY)
        .min(LAST_DAY)
}

/// Returns year, month (from 1) and day (from 1) of a `day` since 1 January 1970, in UTC, by Howard
/// Hinnant's `civil_from_days`.
pub const fn date_from_day(day: u32) -> (u32, u32, u32) {
    // Years begin in March, so that the leap day is the last.
    let days = day + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month, day)
}
