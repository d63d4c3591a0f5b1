//! Labels that a client may set on a request, and the ids that it chooses for requests on a socket.

use serde_json::Map;
use serde_json::Value;

use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::code;
use crate::domain::EndUser;

const MAX_METADATA_PAIRS: usize = 16;
const MAX_METADATA_KEY_LENGTH: usize = 64;
const MAX_METADATA_VALUE_LENGTH: usize = 512;

/// Maximum length of the name of an answer's schema.
pub(super) const MAX_SCHEMA_NAME_LENGTH: usize = 64;
/// Maximum length of an id that the client chooses on a socket.
const MAX_CLIENT_CHOSEN_ID_LENGTH: usize = 256;
/// Rule for such an id, in the words of an error message.
pub(super) const CLIENT_CHOSEN_ID_RULE: &str =
    "expected 1 to 256 letters, digits, `_`, `.` and `-`.";

/// Labels of a request; never sent to Anthropic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Labels {
    pub(super) user: Option<String>,
    pub(super) safety_identifier: Option<String>,
    pub(super) metadata: Map<String, Value>,
}

impl Labels {
    /// Returns the end user that the request names: by `safety_identifier`, which has replaced `user`
    /// in `OpenAI`'s API, else by `user`.
    pub(super) fn end_user(&self) -> Option<String> {
        let names = [&self.safety_identifier, &self.user];
        let mut named = names.into_iter().flatten();
        named.find(|name| !name.trim().is_empty()).cloned()
    }
}

/// Takes the labels `user`, `safety_identifier` and `metadata`.
pub(super) fn take_labels(request: &mut ObjectReader) -> Result<Labels, InvalidRequest> {
    let user = request.take_short_text("user", EndUser::MAX_BYTES)?;
    let safety_identifier = request.take_short_text("safety_identifier", EndUser::MAX_BYTES)?;
    Ok(Labels {
        user,
        safety_identifier,
        metadata: take_metadata(request)?.unwrap_or_default(),
    })
}

/// Takes `metadata` and checks its size.
pub(super) fn take_metadata(
    request: &mut ObjectReader,
) -> Result<Option<Map<String, Value>>, InvalidRequest> {
    let Some(Value::Object(metadata)) = request.take("metadata")? else {
        return Ok(None);
    };
    check_metadata(&metadata)?;
    Ok(Some(metadata))
}

/// Checks the number of pairs, that they are strings, and their lengths.
pub(super) fn check_metadata(metadata: &Map<String, Value>) -> Result<(), InvalidRequest> {
    if metadata.len() > MAX_METADATA_PAIRS {
        let message = format!(
            "`metadata`: expected at most {MAX_METADATA_PAIRS} pairs, got {}. Remove some.",
            metadata.len()
        );
        return Err(InvalidRequest::at("metadata", code::VALUE, message));
    }
    for (key, value) in metadata {
        if key.chars().count() > MAX_METADATA_KEY_LENGTH {
            let message = format!(
                "`metadata` has a key of more than {MAX_METADATA_KEY_LENGTH} characters. Shorten it."
            );
            return Err(InvalidRequest::at("metadata", code::VALUE, message));
        }
        let path = || format!("metadata.{key}");
        FieldType::Text.check(value, path)?;
        if value
            .as_str()
            .is_some_and(|text| text.chars().count() > MAX_METADATA_VALUE_LENGTH)
        {
            let path = path();
            let message = format!(
                "`{path}` has more than {MAX_METADATA_VALUE_LENGTH} characters. Shorten it."
            );
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    }
    Ok(())
}

/// True if `name` is valid as an id that the client chooses on a socket.
pub(super) fn is_client_chosen_id(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_CLIENT_CHOSEN_ID_LENGTH).contains(&name.len()) && name.bytes().all(fits)
}
