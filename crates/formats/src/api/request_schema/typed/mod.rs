//! Reading of requests of this server's own APIs, whose fields are those of a struct.
//!
//! Unknown fields are always refused, because a misspelt limit must not be ignored: each struct is
//! `#[serde(deny_unknown_fields)]`. `null` counts as absent in fields that are an `Option`.

mod error;

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde::de::IntoDeserializer;
use serde::de::MapAccess;
use serde::de::Unexpected;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use serde_json::Map;
use serde_json::Value;

use self::error::invalid_request;
use super::error::InvalidRequest;
use super::field_type::as_integer;

pub use self::error::missing;
pub use super::body::parse_object;

/// Parses `body` as a JSON object with the fields of `T`; `needs` names the required fields in
/// error messages.
///
/// # Errors
/// Fails if the body is not such an object.
pub fn parse_typed<T: DeserializeOwned>(body: &[u8], needs: &str) -> Result<T, InvalidRequest> {
    from_value(&parse_object(body, needs)?)
}

/// Reads the object `value` by the fields of `T`.
///
/// # Errors
/// Fails if a field is unknown, missing or has an invalid value.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, InvalidRequest> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| invalid_request(value, error.path(), &error.inner().to_string()))
}

/// Fields of an inner object. A struct alone would also be read from an array, by position.
#[derive(Debug)]
pub struct Object<T>(pub T);

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

/// String of a fixed set. An enum alone would also be read from an object with the word as its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StringEnum<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StringEnum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::deserialize(IntoDeserializer::<D::Error>::into_deserializer(word)).map(Self)
    }
}

/// Integer from `MIN` to `MAX`, also written as `1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundedInteger<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> BoundedInteger<MIN, MAX> {
    /// Returns the integer without its sign.
    pub fn get(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl<const MIN: i64, const MAX: i64> From<BoundedInteger<MIN, MAX>> for u32 {
    /// Converts the integer; one above the range of `u32` becomes its end.
    fn from(integer: BoundedInteger<MIN, MAX>) -> Self {
        Self::try_from(integer.get()).unwrap_or(Self::MAX)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for BoundedInteger<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let expected = &*format!("an integer from {MIN} to {MAX}");
        let Value::Number(number) = &value else {
            return Err(wrong_type(expected));
        };
        as_integer(number)
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Other("number"), &expected))
    }
}

/// Reads an array of strings; an item of another type is an error of the array.
///
/// # Errors
/// Fails if the value has another type.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let texts = Vec::deserialize(&value);
    texts
        .map(Some)
        .map_err(|_| wrong_type("an array of strings"))
}

/// Reads a JSON object of any fields.
///
/// # Errors
/// Fails if the value has another type.
pub fn object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Map<String, Value>>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Object(fields) => Ok(Some(fields)),
        _ => Err(wrong_type("an object")),
    }
}

/// Reads a value from a string.
///
/// # Errors
/// Fails if the value is not a string, or cannot be parsed.
pub fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format_args!("{error}.")))
}

/// Reads an optional value from a string, like [`parsed`].
///
/// # Errors
/// Fails if the value is not a string, or cannot be parsed.
pub fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| D::Error::custom(format_args!("{error}.")))
}

/// Creates the error for a value that is not of the type `expected`.
pub fn wrong_type<E: serde::de::Error>(expected: &str) -> E {
    E::invalid_type(Unexpected::Other("value"), &expected)
}

#[cfg(test)]
mod tests;
