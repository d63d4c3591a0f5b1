//! Labels that a client may set on a request, and the ids that it chooses for requests on a socket.

use serde_json::Map;
use serde_json::Value;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Shape;
use crate::api::request_schema::code;

const MOST_METADATA: usize = 16;
const LONGEST_METADATA_KEY: usize = 64;
const LONGEST_METADATA_VALUE: usize = 512;

/// Maximum length of an id that the client chooses on a socket.
const LONGEST_MARK: usize = 256;
/// Rule for such an id, in the words of an error message.
pub(super) const MARK: &str = "expected 1 to 256 letters, digits, `_`, `.` and `-`.";

/// Labels of a request; never sent to Anthropic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Labels {
    pub(super) user: Option<String>,
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

/// Takes `metadata` and checks its size.
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

/// True if `name` is valid as an id that the client chooses on a socket.
pub(super) fn is_mark(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LONGEST_MARK).contains(&name.len()) && name.bytes().all(fits)
}
