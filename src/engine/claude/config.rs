//! The configuration of CLI processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::BASE_URL;
use super::sign_in::SignIn;

/// Everything needed to start and drive CLI processes.
#[derive(Clone)]
pub struct Config {
    /// The CLI: a path, or a name that is looked up in `PATH`.
    pub binary: PathBuf,
    /// The way in which the CLI signs in at Anthropic.
    pub sign_in: SignIn,
    /// The server's environment, from which the allow-list of [`super::command`] picks.
    pub environment: BTreeMap<String, String>,
    /// Names of further variables to hand through; a trailing `*` stands for any rest.
    pub pass_environment: Vec<String>,
    /// The directory of the processes' home and working directory.
    pub data_dir: PathBuf,
    /// The number of times that the CLI tries a failed call again by itself.
    pub max_retries: u32,
    /// Betas of Anthropic's API that every call of a turn asks for.
    pub betas: Vec<String>,
    /// The longest pause between two events of a turn. A longer one fails the turn.
    pub event_timeout: Duration,
    /// The time that the CLI has to answer a control request.
    pub control_timeout: Duration,
    /// The time that a process has until it can be used.
    pub start_timeout: Duration,
    /// The longest line read from a process, in bytes; a longer one is skipped.
    pub max_line_bytes: usize,
}

impl Config {
    /// The base URL of the operator; `None` leaves it to the CLI.
    pub(super) fn base_url(&self) -> Option<&String> {
        self.environment.get(BASE_URL)
    }
}

impl std::fmt::Debug for Config {
    /// Leaves the environment out: it holds the sign-in.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("binary", &self.binary)
            .field("sign_in", &self.sign_in)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
