//! `[auth]`: keys of callers.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::origin::SettingRefusal;

/// Settings of authentication. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Bearer keys, any of which admits a caller.
    pub keys: Vec<SettingsKey>,
}

/// Bearer key. Its `Debug` and serialized forms are `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SettingsKey(String);

impl SettingsKey {
    /// Returns the text of the key, to compare with what a caller sends.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SettingsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Serialize for SettingsKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl SettingsKey {
    /// Returns true if the key can be sent in a header.
    pub(super) fn is_sendable(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl AuthSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        for (index, key) in self.keys.iter().enumerate() {
            let number = index + 1;
            let refuse = |what: &str| {
                let hint = "make a key with `openssl rand -hex 24`; take a key out of the list to revoke it";
                Err(SettingRefusal::new(
                    "auth.keys",
                    format!("key {number} {what}"),
                    hint,
                ))
            };
            if key.0.is_empty() {
                return refuse("is empty");
            }
            if !key.is_sendable() {
                return refuse("holds a blank or another character that cannot stand in a header");
            }
            if self.keys[..index].contains(key) {
                return refuse("is there twice");
            }
        }
        Ok(())
    }
}
