//! Parsing of a request body to an object.

use serde_json::Value;
use serde_json::error::Category;

use super::error::InvalidRequest;
use super::field_type::describe_value;
use super::object_reader::ObjectPath;
use super::object_reader::ObjectReader;
use super::schema::ObjectSchema;
use super::structure;

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
    structure::check(body)?;
    let value: Value =
        serde_json::from_slice(body).map_err(|error| not_json(body, &error, needs))?;
    if !value.is_object() {
        let message = format!(
            "The body must be a JSON object with {needs}, but it is {}.",
            describe_value(&value)
        );
        return Err(InvalidRequest::body(message));
    }
    ObjectReader::new(value, ObjectPath::root(table))
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
