//! Exact amounts of money.

use std::fmt;
use std::ops::Add;
use std::ops::Sub;

const NANOS: i64 = 1_000_000_000;
const DIGITS: usize = 9;

/// Amount of US dollars in whole nano-dollars; sums are exact and saturate at about nine thousand
/// million dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Zero dollars, the default amount.
    pub const ZERO: Self = Self(0);
    /// Largest amount that can be represented.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates an amount from nano-dollars.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Converts dollars, rounded up to the next nano-dollar. `None` for a negative, infinite or
    /// out-of-range number, and for NaN.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        // Subtracts a millionth of a nano-dollar, the error of the float, before rounding up.
        let nanos = (dollars * NANOS as f64 - 1e-6).ceil();
        let is_amount = dollars.is_finite() && dollars >= 0.0 && nanos < i64::MAX as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within the range"
        )]
        is_amount.then_some(Self(nanos.max(0.0) as i64))
    }

    /// Parses a decimal such as `12` or `12.50`, with up to nine digits behind the point. `None`
    /// for anything else.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || rest.len() > DIGITS {
            return None;
        }
        let rest: i64 = format!("{rest:0<DIGITS$}").parse().ok()?;
        whole
            .parse::<i64>()
            .ok()?
            .checked_mul(NANOS)?
            .checked_add(rest)
            .map(Self)
    }

    /// Formats the amount in dollars, as [`from_decimal`](Self::from_decimal) reads it: exact, with
    /// at least two digits behind the point.
    pub fn to_decimal(self) -> String {
        let whole = self.0.unsigned_abs() / NANOS as u64;
        let rest = self.0.unsigned_abs() % NANOS as u64;
        let digits = format!("{rest:0DIGITS$}");
        let sign = if self.0 < 0 { "-" } else { "" };
        format!("{sign}{whole}.{:0<2}", digits.trim_end_matches('0'))
    }

    /// Returns the amount in nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Returns the amount in dollars, as the nearest float.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    /// Formats as `$1.25`: exact, with at least two digits behind the point.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = self.to_decimal();
        match decimal.strip_prefix('-') {
            Some(amount) => write!(formatter, "-${amount}"),
            None => write!(formatter, "${decimal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_rounds_dollars_up_and_rejects_invalid_numbers() {
        for (dollars, nanos) in [
            (0.0, 0),
            (1.25, 1_250_000_000),
            (0.000_000_000_1, 1),
            (0.1 + 0.2, 300_000_000),
            (1e9, 1_000_000_000_000_000_000),
        ] {
            assert_eq!(
                Money::from_dollars(dollars),
                Some(Money(nanos)),
                "{dollars}"
            );
        }
        for nonsense in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.01, 1e12] {
            assert_eq!(Money::from_dollars(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn money_decimals_round_trip_to_the_last_digit() {
        for (text, nanos, written) in [
            ("0", 0, "0.00"),
            ("12", 12_000_000_000, "12.00"),
            ("12.5", 12_500_000_000, "12.50"),
            ("0.000000001", 1, "0.000000001"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(Money::from_decimal(text), Some(Money(nanos)), "{text}");
            assert_eq!(Money(nanos).to_decimal(), written);
        }
        for nonsense in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "$1",
            "1,5",
            "1.0000000001",
            "9223372036.854775808",
            "١",
        ] {
            assert_eq!(Money::from_decimal(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn money_sums_saturate_and_display_is_exact() {
        assert_eq!(Money::MAX + Money(1), Money::MAX);
        assert_eq!(Money(3) - Money(5), Money(-2));
        for (nanos, shown) in [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (1_250_000_000, "$1.25"),
            (-2_500_000, "-$0.0025"),
        ] {
            assert_eq!(Money(nanos).to_string(), shown);
        }
    }
}
