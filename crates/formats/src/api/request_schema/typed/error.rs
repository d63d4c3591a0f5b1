//! Conversion of serde's errors to those of requests.

use serde_json::Value;
use serde_path_to_error::Path;
use serde_path_to_error::Segment;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::describe_value;
use crate::api::request_schema::printable;

/// Beginnings of serde's texts that say what was expected.
const SERDE_PHRASES: [&str; 3] = ["invalid type", "invalid value", "unknown variant"];

/// Converts an error of serde, whose text begins with one of a few fixed phrases and may contain
/// the client's value, which is not repeated.
pub(super) fn invalid_request(value: &Value, path: &Path, message: &str) -> InvalidRequest {
    if let Some(name) = quoted(message, "missing field ") {
        return missing(join(path, name));
    }
    let found = value_at(value, path);
    let path = join(path, "");
    if message.starts_with("unknown field ") {
        let message = format!("`{path}` is no field of this request. Remove it.");
        return InvalidRequest::at(path, code::UNKNOWN, message);
    }
    if found.is_some_and(Value::is_null) {
        return missing(path);
    }
    let code = match message.starts_with("invalid type") {
        true => code::TYPE,
        false => code::VALUE,
    };
    let expected = SERDE_PHRASES
        .iter()
        .any(|phrase| message.starts_with(phrase))
        .then(|| message.rsplit_once(", expected "))
        .flatten();
    let message = match (expected, found) {
        (Some((_, expected)), Some(found)) => {
            format!(
                "`{path}`: expected {expected}, got {}.",
                describe_value(found)
            )
        }
        _ => format!("`{path}`: {message}"),
    };
    InvalidRequest::at(path, code, message)
}

/// Creates the error for a field that is missing.
pub fn missing(path: impl Into<String>) -> InvalidRequest {
    let path = path.into();
    let message = format!("`{path}` is missing.");
    InvalidRequest::at(path, code::MISSING, message)
}

/// Returns the name in backquotes behind `phrase`.
fn quoted<'a>(message: &'a str, phrase: &str) -> Option<&'a str> {
    message.strip_prefix(phrase)?.split('`').nth(1)
}

/// Joins `path` and the name of a field below it: `webhook.url`. Names are the client's.
fn join(path: &Path, name: &str) -> String {
    let mut joined = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => joined.push_str(&format!("[{index}]")),
            Segment::Map { key } => push_name(&mut joined, &printable(key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    push_name(&mut joined, name);
    joined
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() && !name.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn value_at<'a>(value: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}
