//! Format of times in Anthropic's API.

use crate::domain::SECONDS_A_DAY;
use crate::domain::date_from_day;
use crate::domain::day_from_unix;

/// Formats a Unix time in seconds as `2026-11-29T08:00:00Z`.
pub(super) fn format_time(seconds: u64) -> String {
    let (year, month, day) = date_from_day(day_from_unix(seconds));
    let rest = seconds % SECONDS_A_DAY;
    let hour = rest / 3600;
    let minute = rest / 60 % 60;
    let second = rest % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_utc_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(format_time(seconds), expected);
        }
    }
}
