//! Infallible serialization to JSON.

use serde::Serialize;

/// Serializes `value` to JSON.
///
/// Only for the types of this module: their keys are strings and they are written to memory, so
/// serialization cannot fail.
#[expect(
    clippy::expect_used,
    reason = "neither of the two ways to fail, odd map keys and I/O, can occur"
)]
pub(super) fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("keys are strings and the writer is memory")
}
