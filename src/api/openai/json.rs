//! JSON serialization that cannot fail, and lenient parsing.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::repair_characters;

/// Serializes `value` as JSON.
///
/// Only for the wire types of this module: with string keys and a writer in memory, serialization
/// cannot fail.
#[expect(
    clippy::expect_used,
    reason = "neither of the two ways to fail, odd map keys and I/O, can occur"
)]
pub(super) fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("keys are strings and the writer is memory")
}

/// Ids in a socket message, read without building the rest of the message in memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SocketMessageIds {
    pub(super) id: Option<String>,
    pub(super) stream_id: Option<String>,
}

impl SocketMessageIds {
    /// Parses the ids of the message `text`; none if it is not JSON or an id is not a string.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// Parses `text` as JSON, replacing lone surrogates; none if it is still invalid.
pub(super) fn parse_leniently(text: &str) -> Option<Value> {
    let repaired_body =
        repair_characters(text.as_bytes(), &mut RemarkCollector::new(Policy::Lenient)).ok()?;
    serde_json::from_slice(&repaired_body).ok()
}
