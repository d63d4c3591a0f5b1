//! Parsing of a request body to an object.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Map;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::InvalidRequest;
use super::field_type::describe_value;
use super::item_list::ItemList;
use super::object_reader::ObjectPath;
use super::object_reader::ObjectReader;
use super::schema::ObjectSchema;
use super::structure;

/// Maximum size of a body that is parsed although it is an array, in bytes: parsing only serves the
/// error message, and takes many times the memory of the body.
const MAX_PARSED_ARRAY_BYTES: usize = 128 * 1024;

/// Parses `body` as a JSON object with the fields of `table`; `needs` names the required fields in
/// error messages.
///
/// # Errors
/// Fails if the body is not a JSON object.
pub fn parse_request(
    body: &[u8],
    table: &'static ObjectSchema,
    needs: &str,
) -> Result<ObjectReader, InvalidRequest> {
    ObjectReader::new(parse_object(body, needs)?, ObjectPath::root(table))
}

/// Parses `body` as a JSON object; `needs` names the required fields in error messages.
///
/// # Errors
/// Fails if the body is not a JSON object.
pub fn parse_object(body: &[u8], needs: &str) -> Result<Value, InvalidRequest> {
    structure::check(body)?;
    let value: Value =
        serde_json::from_slice(body).map_err(|error| not_json(body, &error, needs))?;
    if !value.is_object() {
        return Err(not_an_object(body, needs));
    }
    Ok(value)
}

/// Parses `body` as [`parse_request`] does, except for the items of the array `name`, which are
/// parsed when they are read. A field of this name that is not an array stays in the reader.
///
/// # Errors
/// Fails if the body is not a JSON object.
pub fn parse_request_with_items<'a>(
    body: &'a [u8],
    table: &'static ObjectSchema,
    needs: &str,
    name: &'static str,
) -> Result<(ObjectReader, Option<ItemList<'a>>), InvalidRequest> {
    structure::check(body)?;
    let invalid = |error: serde_json::Error| not_json(body, &error, needs);
    let raw_fields: Result<HashMap<Cow<'_, str>, &RawValue>, _> = serde_json::from_slice(body);
    let mut raw_fields = raw_fields.map_err(|error| match error.classify() {
        Category::Data => not_an_object(body, needs),
        Category::Eof | Category::Syntax | Category::Io => invalid(error),
    })?;
    let items = raw_fields
        .get(name)
        .and_then(|raw| ItemList::split(name, raw));
    if items.is_some() {
        raw_fields.remove(name);
    }
    let mut fields = Map::new();
    for (name, raw) in raw_fields {
        let value = serde_json::from_str(raw.get()).map_err(|error| {
            // Only what the first pass does not look at: numbers out of range, depth, escapes.
            let message = format!("`{name}` is not valid JSON: {error}.");
            InvalidRequest::body(message)
        })?;
        fields.insert(name.into_owned(), value);
    }
    let request = ObjectReader::new(Value::Object(fields), ObjectPath::root(table))?;
    Ok((request, items))
}

/// Creates the error for a body that is not an object.
fn not_an_object(body: &[u8], needs: &str) -> InvalidRequest {
    let is_large_array = body.len() > MAX_PARSED_ARRAY_BYTES && body.trim_ascii_start()[0] == b'[';
    let value: Result<Value, _> = if is_large_array {
        Ok(Value::Array(Vec::new()))
    } else {
        serde_json::from_slice(body)
    };
    match value {
        Err(error) => not_json(body, &error, needs),
        Ok(value) => InvalidRequest::body(format!(
            "The body must be a JSON object with {needs}, but it is {}.",
            describe_value(&value)
        )),
    }
}

fn not_json(body: &[u8], error: &serde_json::Error, needs: &str) -> InvalidRequest {
    InvalidRequest::body(match error.classify() {
        _ if body.trim_ascii().is_empty() => {
            format!("The body is empty. Send a JSON object with {needs}.")
        }
        Category::Eof => format!("The body ends too early to be valid JSON: {error}."),
        Category::Syntax | Category::Data | Category::Io => {
            format!("The body is not valid JSON: {error}.")
        }
    })
}
