//! What can be set about connections.

use std::time::Duration;

/// What can be set about connections. The defaults named here are those of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long the head of the next request may take, in seconds; an idle connection is closed after as long. 75: longer than
    /// clients and proxies keep an idle connection.
    pub header_read_timeout: Duration,
    /// How long a client may take nothing of what it is sent, in seconds. 30: longer than a lost network link
    /// usually takes to come back, short enough that a stopped reader does not keep a worker for minutes.
    pub send_timeout: Duration,
    /// How long running requests may go on after the signal to stop, in seconds; the streams still running then
    /// end with an error event. 30: process supervisors kill after 30 to 90.
    pub drain_timeout: Duration,
    /// The kernel's send buffer of a connection, in bytes; Linux reserves twice as much. 131072: an answer fits
    /// in as a whole, and a reader that stopped pins 256 KiB instead of the 4 MB of the default.
    pub send_buffer: usize,
    /// The most connections at a time. What the system allows, without what workers and files need.
    pub connections: usize,
    /// Connections of one address by which nobody has asked yet who may; the oldest goes for a further one. 256: clients ask as
    /// soon as they are connected.
    pub unknown_per_address: usize,
}
