//! Key of the admin API.

use serde::Deserialize;
use serde::Serialize;

use super::digest::Digest;

/// Key of the admin API, stored as a digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminKey(Digest);

impl AdminKey {
    /// Creates the admin key with this text.
    pub fn of(text: &str) -> Self {
        Self(Digest::of(text))
    }

    /// True if `text` is the admin key; compares in constant time.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.is(&Digest::of(text))
    }
}
