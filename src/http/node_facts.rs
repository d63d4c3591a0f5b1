//! Facts about this server that do not change while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Facts about this server, as the dashboard shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name of the machine, as its kernel knows it.
    pub host: String,
    /// Version of the Claude CLI, if it is known.
    pub cli_version: Option<String>,
    /// Start of the server, in seconds of Unix time.
    pub started_at: u64,
    /// Listeners by their purpose: `api`, `admin` and `metrics`.
    pub listeners: Vec<(&'static str, SocketAddr)>,
    /// Configuration file, if one was read.
    pub config_file: Option<PathBuf>,
    /// Data directory of the server.
    pub data_dir: PathBuf,
    /// Kind of the sign-in to Claude in words; `None` without one.
    pub sign_in: Option<&'static str>,
}
