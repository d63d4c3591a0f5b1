//! Sums of charges as JSON carries them.

use crate::domain::Money;

/// Returns the part of `total` that `part` is, from 0 to 1.
pub(super) fn share(part: u128, total: u128) -> f64 {
    if total == 0 {
        return 0.0;
    }
    part as f64 / total as f64
}

/// Formats nano-dollars as dollars.
pub(super) fn decimal(nanos: u128) -> String {
    let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
    Money::from_nanos(nanos).to_decimal()
}

/// Returns a sum as JSON can carry it.
pub(super) fn clamped(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
