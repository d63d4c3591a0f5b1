//! `[admin]`: the admin API.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer};

use super::server::{ServerSettings, parse_address};
use crate::accounts::auth;
use crate::accounts::auth::SettingsKey;
use crate::runtime::setting::SettingRefusal;

/// Minimum length of the admin key; a shorter one could be guessed.
const MIN_KEY_LENGTH: usize = 16;

/// Settings of the admin API. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdminSettings {
    /// Admin key; empty to use the one that the server generated.
    pub key: SettingsKey,
    /// Own address of the admin API; `None` to serve it on the main listener.
    #[serde(deserialize_with = "read_address")]
    pub listen: Option<SocketAddr>,
    /// True if the dashboard is served beside the admin API.
    pub dashboard: bool,
}

impl AdminSettings {
    pub(super) fn check(
        &self,
        auth: &auth::Config,
        server: &ServerSettings,
    ) -> Result<(), SettingRefusal> {
        let refuse = |key, message: String, hint: &str| SettingRefusal {
            key,
            message,
            hint: hint.to_owned(),
        };
        let key = self.key.reveal();
        let hint =
            "make a key with `openssl rand -hex 24`, or leave it out: then the server creates one";
        if !key.is_empty() && (key.len() < MIN_KEY_LENGTH || !self.key.is_sendable()) {
            let what =
                format!("it is no text of {MIN_KEY_LENGTH} or more visible ASCII characters");
            return Err(refuse("key", what, hint));
        }
        if auth.keys.contains(&self.key) {
            let what = "it is one of auth.keys, so every caller would have it";
            return Err(refuse("key", what.to_owned(), hint));
        }
        if self.listen == Some(server.listen) && server.listen.port() != 0 {
            let hint = "name another port, or leave it out to have both on one";
            let what = "it is the address of server.listen";
            return Err(refuse("listen", what.to_owned(), hint));
        }
        Ok(())
    }
}

/// Reads an address; an empty text is none.
pub(super) fn read_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Ok(None)
    } else {
        parse_address(&text).map(Some)
    }
}
