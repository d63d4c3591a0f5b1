//! Start-up of the worker pool and the agent runner.

use std::sync::Arc;

use super::StartupContext;
use super::sign_ins;
use super::sign_ins::PreparedSignIn;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::PlanUsage;
use crate::engine::agent::AgentRunner;
use crate::engine::claude::ClaudeLauncher;
use crate::engine::claude::CliSetup;
use crate::engine::claude::CliVersionReader;
use crate::engine::claude::DataDir;
use crate::engine::claude::MissingSignIn;
use crate::engine::claude::SignIn;
use crate::engine::claude::SignInConfig;
use crate::engine::claude::SignInsConfig;
use crate::engine::gateway::Breaker;
use crate::engine::gateway::SignInFacts;
use crate::engine::gateway::SignInName;
use crate::engine::gateway::SignInPool;
use crate::engine::gateway::SignInUse;
use crate::engine::pool;
use crate::engine::pool::Pool;
use crate::telemetry::logs::ErrorChain;

/// Name of the sign-in that needs no settings.
const DEFAULT_NAME: &str = "default";

/// Worker pools and agent runner.
pub(super) struct Workers {
    /// Sign-ins with their pools, which answer turns; or what to set for one.
    pub(super) sign_ins: Result<Vec<SignInPool<ClaudeLauncher>>, MissingSignIn>,
    /// Runner of agents; `None` without a sign-in that they may use.
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
    /// Sign-in to Claude, the first of several, if there is one.
    pub(super) sign_in: Option<SignIn>,
}

/// Starts the worker pools and the agent runner, if there is a sign-in. Agents sign in by the first
/// one in the order that is not bound to keys or projects.
///
/// # Errors
/// Fails when the CLI cannot be used, or one of several sign-ins has no credentials.
pub(super) async fn start(
    context: &StartupContext<'_>,
    environment: &Environment,
    data_dir: &DataDir,
) -> anyhow::Result<Workers> {
    let settings = context.settings;
    let configs = &settings.sign_ins.list;
    let first = match sign_ins::prepare_first(settings, environment) {
        Ok(first) => first,
        Err(missing) if configs.is_empty() => {
            tracing::warn!(error = %missing, "sign-in missing");
            return Ok(Workers {
                sign_ins: Err(missing),
                agents: None,
                cli: None,
                claude: ClaudeFacts::default(),
            });
        }
        Err(missing) => return Err(missing.into()),
    };
    let shown = first.sign_in;
    let mut launchers = Vec::new();
    if configs.is_empty() {
        launchers.push(prepare_launcher(context, data_dir, first, None).await?);
    }
    for config in configs {
        let prepared = sign_ins::prepare(config, environment)?;
        launchers.push(prepare_launcher(context, data_dir, prepared, Some(config)).await?);
    }
    let order = |place: &usize| configs.get(*place).map_or(1, |config| config.order);
    let main = (0..launchers.len()).min_by_key(order).unwrap_or_default();
    let launcher = &launchers[main].0;
    let version = launcher.version();
    context.metrics.set_cli_version(version);
    let for_agents = if configs.is_empty() {
        Some(main)
    } else {
        settings.sign_ins.place_for_agents()
    };
    let agents = match for_agents {
        Some(place) => Some(runner(&launchers[place].0, settings).await?),
        None if settings.tasks.roots.is_empty() => None,
        None => {
            tracing::warn!("no sign-in for agents: each is bound to keys or projects");
            None
        }
    };
    let cli = launcher.version_reader();
    Ok(Workers {
        sign_ins: Ok(start_pools(context, launchers)),
        agents,
        cli: Some(cli),
        claude: ClaudeFacts {
            version: Some(version.to_string()),
            sign_in: Some(shown),
        },
    })
}

/// Prepares the launcher of the workers of a sign-in; without a `config` it is the only one.
async fn prepare_launcher(
    context: &StartupContext<'_>,
    data_dir: &DataDir,
    prepared: PreparedSignIn,
    config: Option<&SignInConfig>,
) -> anyhow::Result<(ClaudeLauncher, SignInFacts)> {
    let name = config.map(|config| config.name.clone());
    let facts = SignInFacts {
        name: name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned()),
        kind: prepared.sign_in.name(),
        plan: PlanUsage::default(),
    };
    let setup = CliSetup {
        config: context.settings.claude.clone(),
        sign_in: prepared.sign_in,
        environment: prepared.variables,
        data_dir: context.settings.server.data_dir.clone(),
        plan: facts.plan.clone(),
        name,
    };
    let tracker = context.tracker.clone();
    let launcher = ClaudeLauncher::prepare(setup, &data_dir.instance, tracker).await?;
    Ok((launcher, facts))
}

/// Starts a pool of workers for each launcher, which are in the order of the settings.
fn start_pools(
    context: &StartupContext<'_>,
    launchers: Vec<(ClaudeLauncher, SignInFacts)>,
) -> Vec<SignInPool<ClaudeLauncher>> {
    let settings = context.settings;
    let failures = settings.breaker.breaker_failures;
    let SignInsConfig { header, list, .. } = &settings.sign_ins;
    let shares = settings.sign_ins.shares(settings.pool.max_workers);
    let start = |launcher: ClaudeLauncher, config: pool::Config| {
        let metrics = context.metrics.pool.clone();
        Pool::start(launcher, config, metrics, context.tracker.clone())
    };
    let pools = launchers.into_iter().enumerate();
    let pools = pools.map(|(place, (launcher, facts))| {
        let Some(config) = list.get(place) else {
            let pool = start(launcher, settings.pool.clone());
            return SignInPool {
                facts,
                ..SignInPool::only(pool, Breaker::new(failures))
            };
        };
        let pool = start(launcher, share_of_pool(&settings.pool, shares[place]));
        SignInPool {
            facts,
            shown_name: Some(SignInName {
                name: config.name.as_str().into(),
                is_told: *header,
            }),
            pool,
            breaker: Breaker::beside_others(failures),
            usage: SignInUse {
                models: config.models.clone(),
                keys: config.keys.clone(),
                projects: config.projects.clone(),
                order: config.order,
                weight: config.weight,
            },
        }
    });
    pools.collect()
}

/// Returns the settings of a pool that has `share` of the workers, with as much of the rest.
fn share_of_pool(pool: &pool::Config, share: usize) -> pool::Config {
    let part = |number: usize| (number * share).div_ceil(pool.max_workers.max(1));
    pool::Config {
        max_workers: share,
        prewarm: part(pool.prewarm).min(share),
        queue_length: part(pool.queue_length),
        ..pool.clone()
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pool_of_a_sign_in_has_its_share() {
        let second = Duration::from_secs(1);
        let whole = pool::Config {
            max_workers: 8,
            prewarm: 2,
            max_starting: 2,
            queue_length: 100,
            queue_timeout: second,
            max_turns: 1,
            max_age: second,
            idle_timeout: second,
            check_after: second,
        };
        let share = share_of_pool(&whole, 3);
        let bounds = (share.max_workers, share.prewarm, share.queue_length);
        assert_eq!(bounds, (3, 1, 38));
        assert_eq!(share_of_pool(&whole, 8), whole);
    }
}
