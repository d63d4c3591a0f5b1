//! Configured keys of callers.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;

use crate::runtime::setting;

/// Settings of authentication: the configured keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Bearer keys, any of which admits a caller.
    #[serde(deserialize_with = "keys")]
    pub keys: Vec<SettingsKey>,
}

/// Key in the configuration. Its `Debug` form is `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SettingsKey(String);

impl SettingsKey {
    /// Returns the text of the key, to compare with what a caller sends.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns true if the key can be sent in a header.
    pub fn is_sendable(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Debug for SettingsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Reads a list of different keys that callers can send.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SettingsKey>, D::Error> {
    let keys = Vec::<SettingsKey>::deserialize(deserializer)?;
    for (index, key) in keys.iter().enumerate() {
        let fault = if key.0.is_empty() {
            "is empty"
        } else if !key.is_sendable() {
            "holds a blank or another character that cannot stand in a header"
        } else if keys[..index].contains(key) {
            "is there twice"
        } else {
            continue;
        };
        let number = index + 1;
        return Err(setting::refuse(
            format!("key {number} {fault}"),
            "make a key with `openssl rand -hex 24`; take a key out of the list to revoke it",
        ));
    }
    Ok(keys)
}
