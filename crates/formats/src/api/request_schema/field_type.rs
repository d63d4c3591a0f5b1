//! Types and ranges of field values, and the error messages for mismatches.

use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;

/// Type and range of a field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldType {
    /// Any value, because it is not read.
    Any,
    /// Boolean.
    Bool,
    /// String.
    Text,
    /// Integer in a range (inclusive), also written as `1.0`.
    Integer(i64, i64),
    /// Boolean, or integer as in [`Integer`](Self::Integer).
    BoolOrInteger(i64, i64),
    /// Number in a range (inclusive).
    Number(f64, f64),
    /// Array of any items.
    Array,
    /// JSON object.
    Object,
    /// String of 1 to so many ASCII letters, digits, `_` and `-`.
    Identifier(usize),
    /// String or array.
    TextOrArray,
    /// String or object.
    TextOrObject,
    /// String or number.
    TextOrNumber,
}

impl FieldType {
    /// Checks that `value` has this type and range; `path` is only called for the error message.
    ///
    /// # Errors
    /// Fails if it has not.
    pub fn check(self, value: &Value, path: impl FnOnce() -> String) -> Result<(), InvalidRequest> {
        let code = match self.verdict(value) {
            TypeVerdict::Fits => return Ok(()),
            TypeVerdict::WrongType => code::TYPE,
            TypeVerdict::OutOfRange => code::VALUE,
        };
        let path = path();
        let message = format!(
            "`{path}`: expected {}, got {}.",
            self.description(),
            describe_value(value)
        );
        Err(InvalidRequest::at(path, code, message))
    }

    fn verdict(self, value: &Value) -> TypeVerdict {
        let fits = match self {
            Self::Any => true,
            Self::BoolOrInteger(min, max) if !value.is_boolean() => {
                return Self::Integer(min, max).verdict(value);
            }
            Self::Bool | Self::BoolOrInteger(..) => value.is_boolean(),
            Self::Text => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Identifier(max) => match value.as_str() {
                Some(name) if !is_identifier(name, max) => return TypeVerdict::OutOfRange,
                name => name.is_some(),
            },
            Self::TextOrArray => value.is_string() || value.is_array(),
            Self::TextOrObject => value.is_string() || value.is_object(),
            Self::TextOrNumber => value.is_string() || value.is_number(),
            Self::Integer(min, max) => {
                return number(value, |n| {
                    as_integer(n).is_some_and(|n| (min..=max).contains(&n))
                });
            }
            Self::Number(min, max) => {
                return number(value, |n| {
                    n.as_f64().is_some_and(|n| (min..=max).contains(&n))
                });
            }
        };
        if fits {
            TypeVerdict::Fits
        } else {
            TypeVerdict::WrongType
        }
    }

    /// Returns the description for error messages, with an article: `a number from 0 to 2`.
    pub fn description(self) -> String {
        match self {
            Self::Any => "anything".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Text => "a string".into(),
            Self::Integer(i64::MIN, i64::MAX) => "an integer of 64 bits".into(),
            Self::Integer(min, max) => format!("an integer from {min} to {max}"),
            Self::BoolOrInteger(min, max) => {
                format!(
                    "`true`, `false` or {}",
                    Self::Integer(min, max).description()
                )
            }
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Array => "an array".into(),
            Self::Object => "an object".into(),
            Self::Identifier(max) => {
                format!("a string of 1 to {max} letters, digits, `_` and `-`")
            }
            Self::TextOrArray => "a string or an array".into(),
            Self::TextOrObject => "a string or an object".into(),
            Self::TextOrNumber => "a string or a number".into(),
        }
    }
}

enum TypeVerdict {
    Fits,
    WrongType,
    OutOfRange,
}

fn is_identifier(name: &str, max: usize) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=max).contains(&name.len()) && name.bytes().all(is_fit)
}

fn number(value: &Value, in_range: impl FnOnce(&serde_json::Number) -> bool) -> TypeVerdict {
    match value {
        Value::Number(number) if in_range(number) => TypeVerdict::Fits,
        Value::Number(_) => TypeVerdict::OutOfRange,
        _ => TypeVerdict::WrongType,
    }
}

/// Returns the number as an integer, if it is one: JSON does not distinguish `1` from `1.0`.
pub(super) fn as_integer(number: &serde_json::Number) -> Option<i64> {
    /// Upper bound (2^53) of the floats that represent every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number
            .as_f64()
            .filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
        Some(float as i64)
    })
}

/// Describes the value that was received. Shows numbers and booleans, never strings, which may be
/// long or private.
pub fn describe_value(value: &Value) -> String {
    match value {
        Value::Null => "`null`".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Sanitizes a client's text for a message or a header: at most 64 characters, others than plain
/// ASCII replaced by `?`.
pub fn printable(text: &str) -> String {
    const MAX_CHARACTERS: usize = 64;
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || "_-.[]".contains(c) {
            c
        } else {
            '?'
        }
    };
    text.chars().take(MAX_CHARACTERS).map(fit).collect()
}
