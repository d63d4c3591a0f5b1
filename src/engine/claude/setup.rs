//! Configuration of CLI processes together with what they run in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::cli_settings::BASE_URL;
use super::config::Config;
use super::sign_in::SignIn;
use crate::domain::PlanUsage;

/// All that is needed to start and drive CLI processes.
#[derive(Clone)]
pub struct CliSetup {
    /// Settings of the CLI.
    pub config: Config,
    /// Method by which the CLI signs in at Anthropic.
    pub sign_in: SignIn,
    /// Environment of the server, which is filtered by the allow-list of [`super::command`].
    pub environment: BTreeMap<String, String>,
    /// Directory that contains the processes' home and working directory.
    pub data_dir: PathBuf,
    /// Use of the sign-in's plan, as the processes report it.
    pub plan: PlanUsage,
    /// Name of the sign-in, whose workers have a home of their own; `None` for the only one.
    pub name: Option<String>,
}

impl CliSetup {
    /// Returns the operator's base URL; `None` leaves it to the CLI.
    pub(super) fn base_url(&self) -> Option<&String> {
        self.environment.get(BASE_URL)
    }
}

impl std::fmt::Debug for CliSetup {
    /// Leaves the environment out: it contains the sign-in.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CliSetup")
            .field("config", &self.config)
            .field("sign_in", &self.sign_in)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
