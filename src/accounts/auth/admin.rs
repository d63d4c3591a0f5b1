//! Key of the admin API.

use serde::Deserialize;
use serde::Serialize;

use super::digest::KeyDigest;

/// Key of the admin API, stored as a digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminKey(KeyDigest);

impl AdminKey {
    /// Creates the admin key with this text.
    pub fn of(text: &str) -> Self {
        Self(KeyDigest::of(text))
    }

    /// True if `text` is the admin key; compares in constant time.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.matches(&KeyDigest::of(text))
    }
}
