//! `[server]`: how the server meets its clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::environment::Environment;
use super::origin::{Check, Refusal};
use super::seconds;

/// How the server meets its clients. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where to listen.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Where everything lies that the server keeps. Absolute.
    pub data_dir: PathBuf,
    /// How long running requests may go on after the signal to stop.
    #[serde(rename = "drain_timeout_seconds", with = "seconds")]
    pub drain_timeout: Duration,
    /// How long the head of a request may take.
    #[serde(rename = "header_read_timeout_seconds", with = "seconds")]
    pub header_read_timeout: Duration,
    /// How long a whole body may take.
    #[serde(rename = "body_read_timeout_seconds", with = "seconds")]
    pub body_read_timeout: Duration,
    /// How long the next piece of a body may take.
    #[serde(rename = "body_pause_timeout_seconds", with = "seconds")]
    pub body_pause_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    #[serde(rename = "send_timeout_seconds", with = "seconds")]
    pub send_timeout: Duration,
    /// The kernel's send buffer of a connection.
    #[serde(rename = "send_buffer_bytes")]
    pub send_buffer: usize,
    /// The most connections of one address by which nobody has asked yet.
    pub unknown_connections_per_address: usize,
    /// The largest request body, in bytes.
    #[serde(rename = "body_limit_bytes")]
    pub body_limit: usize,
    /// Memory for large bodies that are being read, in MiB.
    #[serde(rename = "body_budget_mib")]
    pub body_budget: usize,
    /// After how much silence a stream gets a comment.
    #[serde(rename = "heartbeat_seconds", with = "seconds")]
    pub heartbeat: Duration,
    /// How long a stream's status waits for the first event.
    #[serde(rename = "first_event_wait_seconds", with = "seconds")]
    pub first_event_wait: Duration,
    /// Pages of which origins may call, beside those of this machine.
    pub allowed_origins: Vec<String>,
    /// Whether request fields without effect are refused.
    pub strict: bool,
}

impl Server {
    pub(super) fn resolve(&mut self, environment: &Environment) -> Result<(), Refusal> {
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
            Refusal::new(
                "server.data_dir",
                "there is no home directory to lay the data under (HOME is not set)",
                "name a directory: --data-dir DIR, or SWITCHBOARD_SERVER__DATA_DIR",
            )
        })?;
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("server");
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

    /// A key has half of the room, and the largest body has to find room in that.
    fn check_body_budget(&self) -> Result<(), Refusal> {
        let needed = self.body_limit.saturating_mul(2).div_ceil(1 << 20);
        if self.body_budget >= needed {
            return Ok(());
        }
        Err(Refusal::new(
            "server.body_budget_mib",
            format!(
                "{} MiB is less than two of the largest bodies, which have {} bytes (server.body_limit_bytes)",
                self.body_budget, self.body_limit
            ),
            format!("set it to {needed} or more, or lower server.body_limit_bytes"),
        ))
    }

    pub(super) fn check_reach(&self, has_keys: bool) -> Result<(), Refusal> {
        if has_keys || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(Refusal::new(
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

/// Refuses what no browser ever calls a page's origin.
fn check_origin(origin: &str) -> Result<(), Refusal> {
    let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
        !scheme.is_empty() && !host.is_empty() && scheme.bytes().chain(host.bytes()).all(fits)
    });
    if is_origin || origin == "*" {
        return Ok(());
    }
    Err(Refusal::new(
        "server.allowed_origins",
        format!("`{origin}` is not the origin of a page"),
        "write it as browsers do, SCHEME://HOST or SCHEME://HOST:PORT without a slash at the end, such as \
         https://chat.example; or * for every page",
    ))
}

/// Reads `ADDRESS:PORT`.
pub(super) fn parse_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "`{text}` is not ADDRESS:PORT with an IP address, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}
