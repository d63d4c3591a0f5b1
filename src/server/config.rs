//! Configuration of connections.

use std::time::Duration;

use serde::Deserialize;

use crate::runtime::setting;

/// Configuration of connections. The defaults named here are those of the settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Timeout for the head of the next request, in seconds; also closes idle connections. 75:
    /// longer than clients and proxies keep an idle connection.
    #[serde(rename = "header_read_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub header_read_timeout: Duration,
    /// Timeout for a client that reads nothing of what it is sent, in seconds. 30: longer than a
    /// lost network link usually takes to come back, short enough that a stopped reader does not
    /// keep a worker for minutes.
    #[serde(rename = "send_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub send_timeout: Duration,
    /// Drain timeout: how long running requests may go on after the signal to stop, in seconds.
    /// Streams that still run then end with an error event. 30: process supervisors kill after 30
    /// to 90.
    #[serde(rename = "drain_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub drain_timeout: Duration,
    /// Send buffer of a connection in the kernel, in bytes; Linux reserves twice as much. 131072: a
    /// whole answer fits, and a stopped reader pins 256 KiB instead of the default of 4 MB.
    #[serde(rename = "send_buffer_bytes")]
    #[serde(deserialize_with = "setting::number::<4096, { 1 << 30 }, _, _>")]
    pub send_buffer: usize,
    /// Maximum number of open connections: what the system allows, less what workers and files
    /// need. No setting: computed at start.
    #[serde(skip)]
    pub connections: usize,
    /// Maximum number of connections per address on which no request has arrived that is allowed to
    /// start work; a further one closes the oldest. 256: clients send a request as soon as they are
    /// connected.
    #[serde(rename = "unknown_connections_per_address")]
    #[serde(deserialize_with = "setting::number::<1, { 1 << 20 }, _, _>")]
    pub unknown_per_address: usize,
}
