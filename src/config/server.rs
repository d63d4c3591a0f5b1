//! `[server]`: listening, timeouts and limits of requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::environment::Environment;
use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Settings of the HTTP server. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address to listen on.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Data directory, as an absolute path.
    pub data_dir: PathBuf,
    /// Drain timeout: how long running requests may go on after the signal to stop.
    #[serde(rename = "drain_timeout_seconds", with = "seconds")]
    pub drain_timeout: Duration,
    /// Timeout for the head of a request.
    #[serde(rename = "header_read_timeout_seconds", with = "seconds")]
    pub header_read_timeout: Duration,
    /// Timeout for a whole request body.
    #[serde(rename = "body_read_timeout_seconds", with = "seconds")]
    pub body_read_timeout: Duration,
    /// Timeout for the next chunk of a request body.
    #[serde(rename = "body_pause_timeout_seconds", with = "seconds")]
    pub body_pause_timeout: Duration,
    /// Timeout for a client that reads nothing of what it is sent.
    #[serde(rename = "send_timeout_seconds", with = "seconds")]
    pub send_timeout: Duration,
    /// Send buffer of a connection in the kernel, in bytes.
    #[serde(rename = "send_buffer_bytes")]
    pub send_buffer: usize,
    /// Maximum number of connections per address that have not sent an authenticated request.
    pub unknown_connections_per_address: usize,
    /// Maximum size of a request body, in bytes.
    #[serde(rename = "body_limit_bytes")]
    pub body_limit: usize,
    /// Memory for large bodies that are being read, in MiB.
    #[serde(rename = "body_budget_mib")]
    pub body_budget: usize,
    /// Silence after which a stream sends a heartbeat.
    #[serde(rename = "heartbeat_seconds", with = "seconds")]
    pub heartbeat: Duration,
    /// Maximum wait for the first event before a stream's status is sent.
    #[serde(rename = "first_event_wait_seconds", with = "seconds")]
    pub first_event_wait: Duration,
    /// Origins of pages that may call, beside those of this machine (CORS).
    pub allowed_origins: Vec<String>,
    /// Set to refuse request fields without effect.
    pub strict: bool,
}

impl ServerSettings {
    pub(super) fn resolve(&mut self, environment: &Environment) -> Result<(), SettingRefusal> {
        let default = || {
            let absolute = |name| environment.path(name).filter(|path| path.is_absolute());
            let base =
                absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
            base.map(|base| base.join("claude-switchboard"))
        };
        let chosen = if self.data_dir.as_os_str().is_empty() {
            default()
        } else {
            environment.absolute(&self.data_dir)
        };
        self.data_dir = chosen.ok_or_else(|| {
            SettingRefusal::new(
                "server.data_dir",
                "there is no home directory to lay the data under (HOME is not set)",
                "name a directory: --data-dir DIR, or SWITCHBOARD_SERVER__DATA_DIR",
            )
        })?;
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("server");
        check.seconds("drain_timeout_seconds", self.drain_timeout, 0)?;
        check.seconds("header_read_timeout_seconds", self.header_read_timeout, 1)?;
        check.seconds("body_read_timeout_seconds", self.body_read_timeout, 1)?;
        check.seconds("body_pause_timeout_seconds", self.body_pause_timeout, 1)?;
        check.seconds("send_timeout_seconds", self.send_timeout, 1)?;
        check.seconds("heartbeat_seconds", self.heartbeat, 1)?;
        check.seconds("first_event_wait_seconds", self.first_event_wait, 0)?;
        check.number("send_buffer_bytes", self.send_buffer, 4096..=1 << 30)?;
        check.number(
            "unknown_connections_per_address",
            self.unknown_connections_per_address,
            1..=1 << 20,
        )?;
        check.number("body_limit_bytes", self.body_limit, 1024..=1 << 30)?;
        check.number("body_budget_mib", self.body_budget, 1..=1 << 20)?;
        self.check_body_budget()?;
        self.allowed_origins
            .iter()
            .try_for_each(|origin| check_origin(origin))
    }

    /// Checks that the largest body fits in half of the body memory, the most that one key may use.
    fn check_body_budget(&self) -> Result<(), SettingRefusal> {
        let needed = self.body_limit.saturating_mul(2).div_ceil(1 << 20);
        if self.body_budget >= needed {
            return Ok(());
        }
        Err(SettingRefusal::new(
            "server.body_budget_mib",
            format!(
                "{} MiB is less than two of the largest bodies, which have {} bytes (server.body_limit_bytes)",
                self.body_budget, self.body_limit
            ),
            format!("set it to {needed} or more, or lower server.body_limit_bytes"),
        ))
    }

    pub(super) fn check_reach(&self, has_keys: bool) -> Result<(), SettingRefusal> {
        if has_keys || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(SettingRefusal::new(
            "server.listen",
            format!(
                "{} can be reached from other machines, and without keys everybody who reaches the server would \
                 spend its Claude account",
                self.listen
            ),
            "make a key with `claude-switchboard keys create NAME`, set some (SWITCHBOARD_AUTH__KEYS=key,... or \
             auth.keys in the file), or listen on loopback, such as 127.0.0.1:8080",
        ))
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?)
}

/// Refuses text that no browser sends as an origin.
fn check_origin(origin: &str) -> Result<(), SettingRefusal> {
    let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
        !scheme.is_empty() && !host.is_empty() && scheme.bytes().chain(host.bytes()).all(fits)
    });
    if is_origin || origin == "*" {
        return Ok(());
    }
    Err(SettingRefusal::new(
        "server.allowed_origins",
        format!("`{origin}` is not the origin of a page"),
        "write it as browsers do, SCHEME://HOST or SCHEME://HOST:PORT without a slash at the end, such as \
         https://chat.example; or * for every page",
    ))
}

/// Parses `ADDRESS:PORT`.
pub(super) fn parse_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "`{text}` is not ADDRESS:PORT with an IP address, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}
