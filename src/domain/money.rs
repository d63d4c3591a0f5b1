//! Money, exact.

use std::fmt;
use std::ops::Add;
use std::ops::Sub;

/// Nano-dollars in a dollar.
const NANOS: i64 = 1_000_000_000;
/// Digits behind the point.
const DIGITS: usize = 9;

/// An amount of US dollars in whole nano-dollars; sums are never rounded. Reaches nine thousand million dollars, beyond
/// which it stays where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than anybody has.
    pub const MAX: Self = Self(i64::MAX);

    /// So many nano-dollars.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// An amount as others write it, rounded up to the next nano-dollar. None for what is no amount: what is negative,
    /// infinite, no number, or more than there is.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        // A hair under the next whole one: such a difference is the error of the fraction, and no amount.
        let nanos = (dollars * NANOS as f64 - 1e-6).ceil();
        let is_amount = dollars.is_finite() && dollars >= 0.0 && nanos < i64::MAX as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within the range"
        )]
        is_amount.then_some(Self(nanos.max(0.0) as i64))
    }

    /// The amount that is written `12` or `12.50`, with up to nine digits behind the point. None for anything else.
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

    /// In dollars, as [`from_decimal`](Self::from_decimal) reads it: as many digits as it takes, at least two.
    pub fn to_decimal(self) -> String {
        let (whole, rest) = (
            self.0.unsigned_abs() / NANOS as u64,
            self.0.unsigned_abs() % NANOS as u64,
        );
        let digits = format!("{rest:0DIGITS$}");
        let sign = if self.0 < 0 { "-" } else { "" };
        format!("{sign}{whole}.{:0<2}", digits.trim_end_matches('0'))
    }

    /// In nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// In dollars, as near as a fraction comes.
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
    /// `$1.25`, with as many digits as it takes, at least two.
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
    fn dollars_are_rounded_up_and_never_made_of_nonsense() {
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
    fn decimals_are_read_and_written_to_the_last_digit() {
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
    fn sums_stay_within_bounds_and_show_every_digit() {
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
