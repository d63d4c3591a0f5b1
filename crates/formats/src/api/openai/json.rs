//! JSON serialization that cannot fail, and reading of single fields.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::repair_characters;
use crate::api::request_schema::typed::Object;

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

/// Reads the fields of `T` from the message `text`, without building the rest of it in memory. The
/// default if it is not a JSON object or one of the fields has another type.
pub(super) fn scan_fields<T: DeserializeOwned + Default>(text: &str) -> T {
    scan_body(text.as_bytes())
}

/// Reads the fields of `T` as [`scan_fields`] does, but repairs characters first, which may copy
/// `text`.
pub(super) fn scan_repaired_fields<T: DeserializeOwned + Default>(text: &str) -> T {
    let mut remarks = RemarkCollector::new(Policy::Lenient);
    match repair_characters(text.as_bytes(), &mut remarks) {
        Ok(body) => scan_body(&body),
        Err(_) => T::default(),
    }
}

fn scan_body<T: DeserializeOwned + Default>(body: &[u8]) -> T {
    match serde_json::from_slice::<Object<T>>(body) {
        Ok(Object(fields)) => fields,
        Err(_) => T::default(),
    }
}
