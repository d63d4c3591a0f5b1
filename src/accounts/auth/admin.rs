//! The key of the admin API.

use serde::Deserialize;
use serde::Serialize;

use super::digest::Digest;

/// The key of the admin API, as far as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminKey(Digest);

impl AdminKey {
    /// The key that is `text`.
    pub fn of(text: &str) -> Self {
        Self(Digest::of(text))
    }

    /// Whether `text` is it.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.is(&Digest::of(text))
    }
}
