//! Settings of idempotency keys.

use std::time::Duration;

use serde::Deserialize;

use crate::runtime::setting;

/// Settings of idempotency keys, beside the retention of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Time for which a request goes on whose client has left before its answer began.
    #[serde(rename = "linger_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub linger: Duration,
    /// Maximum size of an answer that is kept, in bytes.
    #[serde(deserialize_with = "setting::number::<1024, { u32::MAX as u64 }, _, _>")]
    pub max_answer_bytes: usize,
    /// Memory for answers that are being made or sent again, in bytes.
    #[serde(rename = "memory_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<1, { 1 << 20 }, _, _>")]
    pub memory_bytes: usize,
}
