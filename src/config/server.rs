//! `[server]`: the keys that concern the server as a whole.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
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

/// Returns the URL by which programs of this machine reach a server that listens on `address`: that
/// of loopback where it listens on all addresses.
pub fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
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

#[cfg(test)]
mod tests {
    use super::local_url;

    #[test]
    fn url_of_a_server_on_all_addresses_is_that_of_loopback() {
        for (address, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:8080", "http://[::1]:8080"),
            ("192.0.2.7:9000", "http://192.0.2.7:9000"),
        ] {
            assert_eq!(local_url(address.parse().unwrap()), url);
        }
    }
}
