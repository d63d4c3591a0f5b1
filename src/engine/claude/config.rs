//! Configuration of CLI processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::BASE_URL;
use super::sign_in::SignIn;

/// Settings needed to start and drive CLI processes.
#[derive(Clone)]
pub struct Config {
    /// Path of the CLI, or a name that is looked up in `PATH`.
    pub binary: PathBuf,
    /// Method by which the CLI signs in at Anthropic.
    pub sign_in: SignIn,
    /// Environment of the server, which is filtered by the allow-list of [`super::command`].
    pub environment: BTreeMap<String, String>,
    /// Names of further variables to pass on; a trailing `*` matches any suffix.
    pub pass_environment: Vec<String>,
    /// Directory that contains the processes' home and working directory.
    pub data_dir: PathBuf,
    /// Number of retries that the CLI makes by itself after a failed call.
    pub max_retries: u32,
    /// Betas of Anthropic's API that every call of a turn asks for.
    pub betas: Vec<String>,
    /// Timeout between two events of a turn, after which the turn fails.
    pub event_timeout: Duration,
    /// Timeout for the response to a control request.
    pub control_timeout: Duration,
    /// Timeout until a new process can be used.
    pub start_timeout: Duration,
    /// Maximum length of a line read from a process, in bytes; a longer one is skipped.
    pub max_line_bytes: usize,
}

impl Config {
    /// Returns the operator's base URL; `None` leaves it to the CLI.
    pub(super) fn base_url(&self) -> Option<&String> {
        self.environment.get(BASE_URL)
    }
}

impl std::fmt::Debug for Config {
    /// Leaves the environment out: it contains the sign-in.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("binary", &self.binary)
            .field("sign_in", &self.sign_in)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
