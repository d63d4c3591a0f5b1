//! `[admin]`: the admin API.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::auth::{AuthSettings, SettingsKey};
use super::origin::{SettingCheck, SettingRefusal};
use super::server::{ServerSettings, parse_address};

/// Minimum length of the admin key; a shorter one could be guessed.
const MIN_KEY_LENGTH: usize = 16;

/// Settings of the admin API. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// Admin key; empty to use the one that the server generated.
    pub key: SettingsKey,
    /// Own address of the admin API; `None` to serve it on the main listener.
    #[serde(serialize_with = "write_address", deserialize_with = "read_address")]
    pub listen: Option<SocketAddr>,
}

impl AdminSettings {
    pub(super) fn check(
        &self,
        auth: &AuthSettings,
        server: &ServerSettings,
    ) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("admin");
        let key = self.key.reveal();
        let hint =
            "make a key with `openssl rand -hex 24`, or leave it out: then the server makes one";
        if !key.is_empty() && (key.len() < MIN_KEY_LENGTH || !self.key.is_sendable()) {
            let what =
                format!("it is no text of {MIN_KEY_LENGTH} or more visible ASCII characters");
            return Err(check.refuse("key", what, hint));
        }
        if auth.keys.contains(&self.key) {
            return Err(check.refuse(
                "key",
                "it is one of auth.keys, so every caller would have it",
                hint,
            ));
        }
        if self.listen == Some(server.listen) && server.listen.port() != 0 {
            let hint = "name another port, or leave it out to have both on one";
            return Err(check.refuse("listen", "it is the address of server.listen", hint));
        }
        Ok(())
    }
}

fn read_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Ok(None)
    } else {
        parse_address(&text).map(Some)
    }
}

#[expect(clippy::ref_option, reason = "the shape that serde calls")]
fn write_address<S: Serializer>(
    address: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(
        &address
            .map(|address| address.to_string())
            .unwrap_or_default(),
    )
}
