//! Durations on the command line.

use std::str::FromStr;

/// Duration in seconds, written as `90s`, `30m`, `12h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationArgument(pub(super) u64);

impl FromStr for DurationArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a number with its unit: 90s, 30m, 12h or 7d";
        let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(EXPECTED),
        };
        let number: u64 = digits.parse().map_err(|_| EXPECTED)?;
        number.checked_mul(unit).map(Self).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_requires_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("0d", 0),
        ] {
            assert_eq!(text.parse(), Ok(DurationArgument(seconds)));
        }
        for nonsense in [
            "",
            "5",
            "d",
            "5 d",
            "5w",
            "-1d",
            "1.5h",
            "99999999999999999d",
        ] {
            assert!(nonsense.parse::<DurationArgument>().is_err(), "{nonsense}");
        }
    }
}
