//! Money, exact.

use std::fmt;
use std::ops::Add;
use std::ops::Sub;

/// Nano-dollars in a dollar.
const NANOS: i64 = 1_000_000_000;

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
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range")]
        is_amount.then_some(Self(nanos.max(0.0) as i64))
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
        let (whole, rest) = (self.0.unsigned_abs() / NANOS as u64, self.0.unsigned_abs() % NANOS as u64);
        let digits = format!("{rest:09}");
        let digits = digits.trim_end_matches('0');
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(formatter, "{sign}${whole}.{digits:0<2}")
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
            assert_eq!(Money::from_dollars(dollars), Some(Money(nanos)), "{dollars}");
        }
        for nonsense in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.01, 1e12] {
            assert_eq!(Money::from_dollars(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn sums_stay_within_bounds_and_show_every_digit() {
        assert_eq!(Money::MAX + Money(1), Money::MAX);
        assert_eq!(Money(3) - Money(5), Money(-2));
        for (nanos, shown) in
            [(0, "$0.00"), (1, "$0.000000001"), (1_250_000_000, "$1.25"), (-2_500_000, "-$0.0025")]
        {
            assert_eq!(Money(nanos).to_string(), shown);
        }
    }
}
