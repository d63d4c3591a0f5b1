//! Start-up of the worker pool and the agent runner.

use std::sync::Arc;

use super::StartupContext;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::PlanUsage;
use crate::engine::agent::AgentRunner;
use crate::engine::claude::ClaudeLauncher;
use crate::engine::claude::CliSetup;
use crate::engine::claude::CliVersionReader;
use crate::engine::claude::DataDir;
use crate::engine::claude::SignIn;
use crate::engine::gateway::SignInFacts;
use crate::engine::gateway::SignInState;
use crate::engine::pool::Pool;
use crate::telemetry::logs::ErrorChain;

/// Name of the sign-in that needs no settings.
const DEFAULT_NAME: &str = "default";

/// Worker pool and agent runner.
pub(super) struct Workers {
    /// Worker pool that answers turns, or the missing sign-in.
    pub(super) turns: SignInState<ClaudeLauncher>,
    /// Facts about the sign-in of the pool.
    pub(super) sign_in: SignInFacts,
    /// Runner of agents; `None` without a sign-in.
    pub(super) agents: Option<Arc<dyn AgentRunner>>,
    /// Reader of the CLI's version; `None` without a sign-in.
    pub(super) cli: Option<CliVersionReader>,
    /// Facts about the CLI.
    pub(super) claude: ClaudeFacts,
}

/// Facts about the Claude CLI, to be shown.
#[derive(Debug, Default)]
pub(super) struct ClaudeFacts {
    /// Version of the CLI, if it is known.
    pub(super) version: Option<String>,
    /// Sign-in to Claude, if there is one.
    pub(super) sign_in: Option<SignIn>,
}

/// Starts the worker pool and the agent runner, if there is a sign-in.
///
/// # Errors
/// Fails when the CLI cannot be used.
pub(super) async fn start(
    context: &StartupContext<'_>,
    environment: &Environment,
    data_dir: &DataDir,
) -> anyhow::Result<Workers> {
    let StartupContext {
        settings,
        tracker,
        metrics,
        ..
    } = context;
    let variables = environment.for_workers(settings.claude.sign_in);
    let sign_in = match SignIn::choose(settings.claude.sign_in, &variables) {
        Ok(sign_in) => sign_in,
        Err(missing) => {
            tracing::warn!(error = %missing, "sign-in missing");
            return Ok(Workers {
                turns: SignInState::Missing(missing.0),
                sign_in: SignInFacts::default(),
                agents: None,
                cli: None,
                claude: ClaudeFacts::default(),
            });
        }
    };
    let setup = CliSetup {
        config: settings.claude.clone(),
        sign_in,
        environment: variables,
        data_dir: settings.server.data_dir.clone(),
        plan: PlanUsage::default(),
    };
    let facts = SignInFacts {
        name: DEFAULT_NAME.to_owned(),
        kind: sign_in.name(),
        plan: setup.plan.clone(),
    };
    let launcher = ClaudeLauncher::prepare(setup, &data_dir.instance, tracker.clone()).await?;
    let version = launcher.version();
    metrics.set_cli_version(version);
    let agents = runner(&launcher, settings).await?;
    let cli = launcher.version_reader();
    let pool = Pool::start(
        launcher,
        settings.pool.clone(),
        metrics.pool.clone(),
        tracker.clone(),
    );
    Ok(Workers {
        turns: SignInState::SignedIn(pool),
        sign_in: facts,
        agents: Some(agents),
        cli: Some(cli),
        claude: ClaudeFacts {
            version: Some(version.to_string()),
            sign_in: Some(sign_in),
        },
    })
}

/// Returns the agent runner, which runs as the user of `tasks.user` if that is set.
async fn runner(
    launcher: &ClaudeLauncher,
    settings: &Settings,
) -> anyhow::Result<Arc<dyn AgentRunner>> {
    let runner = launcher.runner();
    let roots = &settings.tasks.roots;
    let Some(user) = settings
        .agents
        .user
        .as_deref()
        .filter(|_| !roots.is_empty())
    else {
        return Ok(Arc::new(runner));
    };
    let runner = runner.run_as(user).await?;
    for root in roots.iter().filter(|root| root.is_dir()) {
        if let Err(error) = runner.check_workspace(root) {
            tracing::warn!(error = %ErrorChain(&error), path = %root.display(), "folder not safe for agents");
        }
    }
    tracing::info!(user, "agents run as separate user");
    Ok(Arc::new(runner))
}
