//! Start-up of hooks.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::startup_context::StartupContext;
use crate::config::Environment;
use crate::config::Error;
use crate::config::Settings;
use crate::engine::hooks::HookDeps;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::PROGRAM_VARIABLES;
use crate::telemetry::metrics::HookMetrics;

impl StartupContext<'_> {
    /// Starts the hooks of the settings. They run until the drain timeout expires, since running
    /// answers pass them.
    ///
    /// # Errors
    /// Fails when a hook cannot work as it is configured.
    pub(super) fn with_hooks(self, environment: &Environment) -> Result<Self, Error> {
        let deps = HookDeps {
            environment: program_environment(environment),
            tracker: self.tracker.clone(),
            stop: self.shutdown.drain_expired(),
            metrics: self.metrics.hooks.clone(),
        };
        let hooks = start_with_deps(self.settings, &deps)?;
        Ok(Self { hooks, ..self })
    }
}

/// Starts the hooks of `settings` without a server, until `stop` is cancelled.
///
/// # Errors
/// Fails when a hook cannot work as it is configured.
pub fn start_hooks(
    settings: &Settings,
    environment: &Environment,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Result<Hooks, Error> {
    let deps = HookDeps {
        environment: program_environment(environment),
        tracker: tracker.clone(),
        stop,
        metrics: HookMetrics::default(),
    };
    start_with_deps(settings, &deps)
}

fn start_with_deps(settings: &Settings, deps: &HookDeps) -> Result<Hooks, Error> {
    Hooks::start(&settings.hooks, deps).map_err(|refusal| Error::Refused {
        name: format!("hooks.{}", refusal.key),
        message: refusal.message,
        hint: refusal.hint,
    })
}

/// Returns the variables that programs get: none of the server's own, and no sign-in.
fn program_environment(environment: &Environment) -> Vec<(String, String)> {
    let value = |name: &&str| Some(((*name).to_owned(), environment.get(name)?.to_owned()));
    PROGRAM_VARIABLES.iter().filter_map(value).collect()
}
