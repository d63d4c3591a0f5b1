//! What a value must look like, and how a client is told that it does not.

use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;

/// The values a field may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anything, because nobody looks at it.
    Any,
    /// A truth value.
    Bool,
    /// A string.
    Text,
    /// A whole number, also written as `1.0`, from the first to the last.
    Integer(i64, i64),
    /// A truth value, or a whole number as of [`Integer`](Self::Integer).
    BoolOrInteger(i64, i64),
    /// A number from the first to the last.
    Number(f64, f64),
    /// An array.
    Array,
    /// An object.
    Object,
    /// A string or an array.
    TextOrArray,
    /// A string or an object.
    TextOrObject,
    /// A string or a number.
    TextOrNumber,
}

impl Shape {
    /// Refuses `value` where it does not have this shape; `path` names it.
    ///
    /// # Errors
    /// When it has not.
    pub fn check(self, value: &Value, path: impl FnOnce() -> String) -> Result<(), InvalidRequest> {
        let code = match self.verdict(value) {
            Verdict::Fits => return Ok(()),
            Verdict::WrongType => code::TYPE,
            Verdict::OutOfRange => code::VALUE,
        };
        let path = path();
        let message = format!("`{path}`: expected {}, got {}.", self.words(), got(value));
        Err(InvalidRequest::at(path, code, message))
    }

    fn verdict(self, value: &Value) -> Verdict {
        let fits = match self {
            Self::Any => true,
            Self::BoolOrInteger(min, max) if !value.is_boolean() => {
                return Self::Integer(min, max).verdict(value);
            }
            Self::Bool | Self::BoolOrInteger(..) => value.is_boolean(),
            Self::Text => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::TextOrArray => value.is_string() || value.is_array(),
            Self::TextOrObject => value.is_string() || value.is_object(),
            Self::TextOrNumber => value.is_string() || value.is_number(),
            Self::Integer(min, max) => {
                return number(value, |n| {
                    whole(n).is_some_and(|n| (min..=max).contains(&n))
                });
            }
            Self::Number(min, max) => {
                return number(value, |n| {
                    n.as_f64().is_some_and(|n| (min..=max).contains(&n))
                });
            }
        };
        if fits {
            Verdict::Fits
        } else {
            Verdict::WrongType
        }
    }

    /// The shape in words, with an article: `a number from 0 to 2`.
    pub fn words(self) -> String {
        match self {
            Self::Any => "anything".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Text => "a string".into(),
            Self::Integer(i64::MIN, i64::MAX) => "an integer of 64 bits".into(),
            Self::Integer(min, max) => format!("an integer from {min} to {max}"),
            Self::BoolOrInteger(min, max) => {
                format!("`true`, `false` or {}", Self::Integer(min, max).words())
            }
            Self::Number(min, max) => format!("a number from {min} to {max}"),
            Self::Array => "an array".into(),
            Self::Object => "an object".into(),
            Self::TextOrArray => "a string or an array".into(),
            Self::TextOrObject => "a string or an object".into(),
            Self::TextOrNumber => "a string or a number".into(),
        }
    }
}

enum Verdict {
    Fits,
    WrongType,
    OutOfRange,
}

fn number(value: &Value, in_range: impl FnOnce(&serde_json::Number) -> bool) -> Verdict {
    match value {
        Value::Number(number) if in_range(number) => Verdict::Fits,
        Value::Number(_) => Verdict::OutOfRange,
        _ => Verdict::WrongType,
    }
}

/// The number as an integer, if it is one: JSON does not tell `1` from `1.0`.
pub(super) fn whole(number: &serde_json::Number) -> Option<i64> {
    /// Beyond this a float no longer holds every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number
            .as_f64()
            .filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
        Some(float as i64)
    })
}

/// What stands there instead. Shows numbers and truth values, never texts, which may be long or private.
pub fn got(value: &Value) -> String {
    match value {
        Value::Null => "`null`".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// A text of the client's, made fit to stand in a message or a header: short, and of plain characters.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 64;
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || "_-.[]".contains(c) {
            c
        } else {
            '?'
        }
    };
    text.chars().take(LONGEST).map(fit).collect()
}
