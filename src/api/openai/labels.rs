//! The labels a client may put on a request, and the marks by which it knows its answers on a socket.

use serde_json::Map;
use serde_json::Value;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Shape;
use crate::api::request_schema::code;

const MOST_METADATA: usize = 16;
const LONGEST_METADATA_KEY: usize = 64;
const LONGEST_METADATA_VALUE: usize = 512;

/// The most characters of a mark.
const LONGEST_MARK: usize = 256;
/// What a mark may be, in words.
pub(super) const MARK: &str = "expected 1 to 256 letters, digits, `_`, `.` and `-`.";

/// Labels: they never go upstream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Labels {
    pub(super) user: Option<String>,
    /// Pairs of strings.
    pub(super) metadata: Map<String, Value>,
}

/// Takes the labels `user` and `metadata`.
pub(super) fn take(request: &mut Object) -> Result<Labels, InvalidRequest> {
    let user = request.take_text("user")?;
    Ok(Labels {
        user,
        metadata: metadata(request)?.unwrap_or_default(),
    })
}

/// Takes the label `metadata`.
pub(super) fn metadata(request: &mut Object) -> Result<Option<Map<String, Value>>, InvalidRequest> {
    let Some(Value::Object(metadata)) = request.take("metadata")? else {
        return Ok(None);
    };
    if metadata.len() > MOST_METADATA {
        let words = format!(
            "expected at most {MOST_METADATA} pairs, got {}. Remove some.",
            metadata.len()
        );
        return Err(request.refuse("metadata", code::VALUE, &words));
    }
    for (key, value) in &metadata {
        if key.chars().count() > LONGEST_METADATA_KEY {
            let message = format!(
                "`metadata` has a key of more than {LONGEST_METADATA_KEY} characters. Shorten it."
            );
            return Err(InvalidRequest::at("metadata", code::VALUE, message));
        }
        let path = || format!("metadata.{key}");
        Shape::Text.check(value, path)?;
        if value
            .as_str()
            .is_some_and(|text| text.chars().count() > LONGEST_METADATA_VALUE)
        {
            let path = path();
            let message =
                format!("`{path}` has more than {LONGEST_METADATA_VALUE} characters. Shorten it.");
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    }
    Ok(Some(metadata))
}

/// Whether a client may mark a request on a socket with `name`.
pub(super) fn is_mark(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LONGEST_MARK).contains(&name.len()) && name.bytes().all(fits)
}
