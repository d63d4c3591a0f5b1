//! Writing JSON that cannot fail to be written, and reading what may be broken.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::request_schema::Ignored;
use crate::api::request_schema::Policy;
use crate::api::request_schema::mended;

/// `value` as JSON.
///
/// Only for the types of this module: their keys are strings and they are written to memory, so nothing can fail.
#[expect(
    clippy::expect_used,
    reason = "neither of the two ways to fail, odd map keys and I/O, can occur"
)]
pub(super) fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("keys are strings and the writer is memory")
}

/// The fields of a socket message that name its turn, read without keeping the rest in memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Marks {
    pub(super) id: Option<String>,
    pub(super) stream_id: Option<String>,
}

impl Marks {
    /// Those of the message `text`; none where it is no JSON, or one of them no text.
    pub(super) fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// The JSON `text`, also where half a character stands in it. None if it is no JSON all the same.
pub(super) fn read_tolerantly(text: &str) -> Option<Value> {
    let mended = mended(text.as_bytes(), &mut Ignored::new(Policy::Lenient)).ok()?;
    serde_json::from_slice(&mended).ok()
}
