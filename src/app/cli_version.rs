//! Version of the installed CLI, for commands that check the setup without a server.

use tokio_util::task::TaskTracker;

use super::temporary_home::TemporaryHome;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::PlanUsage;
use crate::engine::claude::ClaudeLauncher;
use crate::engine::claude::CliSetup;
use crate::engine::claude::SignIn;
use crate::engine::claude::Version;

/// Finds the CLI, runs it once, and returns its version. No sign-in is needed.
///
/// # Errors
/// Fails when the CLI is missing or cannot be run; the error says what to do.
pub(super) async fn read_cli_version(
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<Version> {
    let home = TemporaryHome::create()?;
    let setup = CliSetup {
        config: settings.claude.clone(),
        // `--version` calls nobody, so any sign-in does.
        sign_in: SignIn::ApiKey,
        environment: environment.for_workers(settings.claude.sign_in),
        data_dir: home.path.clone(),
        plan: PlanUsage::default(),
        name: None,
    };
    let tracker = TaskTracker::new();
    let launcher = ClaudeLauncher::prepare(setup, home.instance(), tracker.clone()).await?;
    let version = launcher.version();
    drop(launcher);
    tracker.close();
    tracker.wait().await;
    Ok(version)
}
