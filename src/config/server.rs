//! `[server]`: the keys that concern the server as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::runtime::setting::SettingRefusal;

/// Address and data directory of the server. The other keys of the section belong to the `Config`
/// of `server` and of `http`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerSettings {
    /// Address to listen on.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Data directory, as an absolute path.
    pub data_dir: PathBuf,
}

impl ServerSettings {
    pub(super) fn check_reach(&self, has_keys: bool) -> Result<(), SettingRefusal> {
        if has_keys || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(SettingRefusal {
            key: "listen",
            message: format!(
                "{} can be reached from other machines, and without keys everybody who reaches the server would \
                 spend its Claude account",
                self.listen
            ),
            hint: "make a key with `claude-switchboard keys create NAME`, set some (SWITCHBOARD_AUTH__KEYS=key,... or \
                   auth.keys in the file), or listen on loopback, such as 127.0.0.1:8080"
                .to_owned(),
        })
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?)
}

/// Parses `ADDRESS:PORT`.
pub(super) fn parse_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "`{text}` is not ADDRESS:PORT with an IP address, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}
