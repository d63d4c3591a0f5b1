//! Readers of settings, for the `Config` of each part.
//!
//! A field of a `Config` names its reader: `#[serde(deserialize_with = "setting::seconds::<1, _>")]`.
//! The numbers are the bounds. `config` adds which key was refused, and where its value comes from.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;

use crate::domain::Money;

/// Maximum duration of a setting, one year; longer ones would overflow clocks.
const MAX_SECONDS: u64 = 31_536_000;

/// Refusal of a value that does not fit another value of the same `Config`.
#[derive(Debug)]
pub struct SettingRefusal {
    /// Name of the key within its section.
    pub key: &'static str,
    /// Reason of the refusal.
    pub message: String,
    /// Advice on a valid value.
    pub hint: String,
}

/// Creates the error of a reader. Its first line is the reason, the second one is advice on a valid
/// value.
pub fn refuse<E: Error>(reason: impl Display, hint: impl Display) -> E {
    E::custom(format!("{reason}\n{hint}"))
}

/// Reads a whole number from `MIN` to `MAX`.
///
/// # Errors
/// Fails when the value is out of bounds.
pub fn number<'de, const MIN: u64, const MAX: u64, N, D>(deserializer: D) -> Result<N, D::Error>
where
    N: TryFrom<u64>,
    D: Deserializer<'de>,
{
    let value = u64::deserialize(deserializer)?;
    let number = (MIN..=MAX).contains(&value).then(|| N::try_from(value));
    number
        .and_then(Result::ok)
        .ok_or_else(|| D::Error::custom(format!("{value} is not between {MIN} and {MAX}")))
}

/// Reads a size in MiB, from `MIN` to `MAX`, and returns it in bytes.
///
/// # Errors
/// Fails when the value is out of bounds.
pub fn mebibytes<'de, const MIN: u64, const MAX: u64, N, D>(deserializer: D) -> Result<N, D::Error>
where
    N: TryFrom<u64>,
    D: Deserializer<'de>,
{
    let value = number::<MIN, MAX, u64, D>(deserializer)?;
    let bytes = value.checked_mul(1 << 20).map(N::try_from);
    bytes
        .and_then(Result::ok)
        .ok_or_else(|| D::Error::custom(format!("{value} MiB are too many")))
}

/// Reads a duration in seconds, from `MIN` to a year.
///
/// # Errors
/// Fails when the value is out of bounds.
pub fn seconds<'de, const MIN: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (MIN..=MAX_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let reason = format!("{seconds} is not between {MIN} and {MAX_SECONDS} seconds");
    Err(D::Error::custom(reason))
}

/// Reads an amount of dollars, a text such as `0.01`.
///
/// # Errors
/// Fails when the text is not an amount.
pub fn dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
    let text = String::deserialize(deserializer)?;
    Money::from_decimal(&text).ok_or_else(|| {
        let reason = format!("`{text}` is not an amount of dollars");
        refuse(reason, "write it as \"0.01\" is written")
    })
}
