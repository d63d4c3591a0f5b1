//! `[admin]`: the admin API.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::auth::{Auth, Key};
use super::origin::{Check, Refusal};
use super::server::{Server, parse_address};

/// Minimum length of the admin key; a shorter one could be guessed.
const SHORTEST_KEY: usize = 16;

/// Settings of the admin API. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Admin key; empty to use the one that the server generated.
    pub key: Key,
    /// Own address of the admin API; `None` to serve it on the main listener.
    #[serde(serialize_with = "write_address", deserialize_with = "read_address")]
    pub listen: Option<SocketAddr>,
}

impl Admin {
    pub(super) fn check(&self, auth: &Auth, server: &Server) -> Result<(), Refusal> {
        let check = Check::section("admin");
        let key = self.key.reveal();
        let hint =
            "make a key with `openssl rand -hex 24`, or leave it out: then the server makes one";
        if !key.is_empty() && (key.len() < SHORTEST_KEY || !self.key.is_sendable()) {
            let what = format!("it is no text of {SHORTEST_KEY} or more visible ASCII characters");
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
