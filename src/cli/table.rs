//! Rendering of values of the admin API's answers as text.

use std::fmt::Write as _;

use crate::domain::unix_now;
use serde_json::Value;

/// Returns a string value, or `-` for any other.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// Returns how long ago a Unix time was, in words.
pub(super) fn ago(time: &Value) -> String {
    match time.as_u64() {
        Some(time) => format!("{} ago", describe_seconds(unix_now().saturating_sub(time))),
        None => "never".to_owned(),
    }
}

/// Returns how long it is until a Unix time, in words.
pub(super) fn time_left(time: &Value) -> String {
    describe_seconds(time.as_u64().unwrap_or(0).saturating_sub(unix_now()))
}

/// Returns `number` with its noun, in the plural where it belongs.
pub(super) fn describe_count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns a length of time in words, rounded down.
pub(super) fn describe_seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Summarizes the limits of a key or a project.
pub(super) fn describe_limits(of: &Value) -> String {
    let mut words = Vec::new();
    for field in ["models", "permissions"] {
        if let Some(names) = of[field].as_array() {
            words.push(names.iter().map(text).collect::<Vec<_>>().join(" or "));
        }
    }
    for (field, unit) in [
        ("requests_per_minute", "requests/min"),
        ("tokens_per_minute", "tokens/min"),
        ("concurrent_requests", "at once"),
        ("weight", "turns a round"),
    ] {
        words.extend(of[field].as_u64().map(|number| format!("{number} {unit}")));
    }
    for (time, unit) in [("daily", "day"), ("monthly", "month")] {
        let cap = &of["budget"][time];
        words.extend(
            cap["tokens"]
                .as_u64()
                .map(|tokens| format!("{tokens} tokens/{unit}")),
        );
        words.extend(
            cap["money"]
                .as_str()
                .map(|money| format!("${money}/{unit}")),
        );
    }
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// Percent-encodes a text as one path segment.
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_durations_are_rounded_down() {
        for (seconds, words) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(describe_seconds(seconds), words);
        }
    }
}
