//! `serve`: runs the server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueHint;

use crate::app;
use crate::app::Reload;
use crate::config;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude;
use crate::telemetry::logs;

/// Maximum wait at the end for threads that cannot be cancelled: host lookups of calls that were given
/// up. A name server that is gone would hold the process for longer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Each flag overrides its variable and its key in the file.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArguments {
    /// A configuration file in TOML; it needs only the keys that it changes.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]; other than loopback only with keys (see
    /// auth.keys).
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Data directory [default: ~/.local/share/claude-switchboard].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
    /// The Claude CLI, a path or a name in PATH [default: claude].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    claude_bin: Option<String>,
    /// Maximum number of worker processes [default: 5].
    #[arg(long, value_name = "N")]
    max_workers: Option<u32>,
}

/// Serves until a signal stops the server.
pub(super) fn serve(arguments: ServeArguments, environment: Environment) -> anyhow::Result<()> {
    let (environment, in_sight) = config::hide_secrets(environment)
        .context("the variables that were handed over on the standard input cannot be read")?;
    let flags = CommandLineFlags {
        listen: arguments.listen,
        data_dir: arguments.data_dir,
        claude_binary: arguments.claude_bin,
        max_workers: arguments.max_workers,
    };
    let file = arguments.config;
    let variables = environment.clone();
    // Keys in files are read again as well, by each reload.
    let load = move || {
        let variables = variables.clone().with_secret_files()?;
        Settings::load(file.as_deref(), &variables, &flags)
    };
    let settings = load()?;
    let environment = environment.with_secret_files()?;
    let levels = logs::init(&settings.log)?;
    if let Some(error) = in_sight {
        tracing::warn!(%error, hint = "processes of this user can read the environment in /proc", "environment variables not hidden");
    }
    if let Err(error) = claude::become_subreaper() {
        tracing::warn!(%error, hint = "orphan processes of agents are found by their environment only", "subreaper not available");
    }
    for notice in &settings.notices {
        tracing::info!(notice, "configuration notice");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(app::run(settings, environment, Reload::new(load, levels)));
    runtime.shutdown_timeout(LOOKUP_TIMEOUT);
    served
}
