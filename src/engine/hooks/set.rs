//! Hooks of the server: made from the configuration, and chosen for each turn.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::called::CalledHook;
use super::called::Hook;
use super::config::Config;
use super::config::HookConfig;
use super::config::HookKind;
use super::configured_hook::ConfiguredHook;
use super::configured_hook::HookBody;
use super::program::program_files;
use super::request_facts::FailedRequest;
use super::turn_hooks::TurnHooks;
use super::wire::HookContent;
use super::wire::HookOperation;
use super::wire::HookPoint;
use super::wire::RequestFacts;
use super::wire::WireError;
use crate::accounts::webhooks::WebhookEvent;
use crate::domain::Caller;
use crate::domain::Turn;
use crate::runtime::setting::SettingRefusal;
use crate::telemetry::metrics::HookMetrics;

/// Hooks of the server; empty, and without any cost, if none is configured. Clones share them.
#[derive(Clone, Default)]
pub struct Hooks(Option<Arc<HookSet>>);

/// Dependencies of running hooks.
#[derive(Debug, Clone)]
pub struct HookDeps {
    /// Environment variables of programs.
    pub environment: Vec<(String, String)>,
    /// Tracker of their tasks.
    pub tracker: TaskTracker,
    /// Cancelled when programs must end.
    pub stop: CancellationToken,
    /// Metrics that calls are counted in.
    pub metrics: HookMetrics,
}

pub(super) struct HookSet {
    hooks: Vec<Arc<ConfiguredHook>>,
    /// Changes with the configuration of the hooks.
    version: u64,
    pub(super) tracker: TaskTracker,
    pub(super) metrics: HookMetrics,
    /// Cancelled when no further notice is sent.
    pub(super) stop: CancellationToken,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.configs().map(|config| config.name.as_str());
        formatter.debug_list().entries(names).finish()
    }
}

impl Hooks {
    /// Makes the hooks of `config`, and starts their programs.
    ///
    /// # Errors
    /// Fails when a hook cannot work as it is configured, or the folder of programs cannot be read.
    pub fn start(config: &Config, deps: &HookDeps) -> Result<Self, SettingRefusal> {
        let config = with_program_files(config)?;
        config.check()?;
        let mut hooks = Vec::new();
        for hook in config.list {
            hooks.push(Arc::new(ConfiguredHook::start(hook, deps)?));
        }
        Ok(Self::from_configured(hooks, deps))
    }

    /// Makes the hooks of library users, each with the configuration of its bounds and grants,
    /// whose `kind` has no effect.
    ///
    /// # Errors
    /// Fails when a configuration is not allowed.
    pub fn custom(
        hooks: Vec<(HookConfig, Arc<dyn Hook>)>,
        deps: &HookDeps,
    ) -> Result<Self, SettingRefusal> {
        let mut configured = Vec::new();
        for (config, hook) in hooks {
            config.check_bounds()?;
            let called = CalledHook::new(hook, config.timeout(), config.max_in_flight);
            let body = HookBody::Called(called);
            configured.push(Arc::new(ConfiguredHook::new(config, body)));
        }
        Ok(Self::from_configured(configured, deps))
    }

    fn from_configured(hooks: Vec<Arc<ConfiguredHook>>, deps: &HookDeps) -> Self {
        if hooks.is_empty() {
            return Self::default();
        }
        let mut digest = Sha256::new();
        for hook in &hooks {
            digest.update(format!("{:?}", hook.config));
        }
        let digest = digest.finalize();
        let mut version = [0; 8];
        version.copy_from_slice(&digest[..8]);
        Self(Some(Arc::new(HookSet {
            hooks,
            version: u64::from_be_bytes(version),
            tracker: deps.tracker.clone(),
            metrics: deps.metrics.clone(),
            stop: deps.stop.clone(),
        })))
    }

    /// Iterates over the configurations of the hooks in their order, programs of the folder
    /// included.
    pub fn configs(&self) -> impl Iterator<Item = &HookConfig> {
        let hooks = self.0.iter().flat_map(|set| &set.hooks);
        hooks.map(|hook| &hook.config)
    }

    /// Returns the version of the hooks, which differs with their configuration; 0 if there are
    /// none.
    pub fn version(&self) -> u64 {
        self.0.as_ref().map_or(0, |set| set.version)
    }

    /// Returns the hooks that `turn` of `caller` passes; `None` if there are none.
    pub fn for_turn(&self, caller: &Caller, turn: &Turn) -> Option<TurnHooks> {
        let set = self.0.as_ref()?;
        let surface = caller.origin.surface.name();
        let model = turn.model.as_str();
        let hooks = set.choose(surface, Some(caller), Some(model));
        if hooks.is_empty() {
            return None;
        }
        let facts = RequestFacts::of_turn(caller, turn);
        let user = turn.native.end_user.clone();
        let is_from_hook = caller.origin.is_from_hook;
        let set = Arc::clone(set);
        Some(TurnHooks::new(set, hooks, facts, user, is_from_hook))
    }

    /// True if a hook is called at errors.
    pub fn are_at_errors(&self) -> bool {
        self.configs().any(|config| config.is_at(HookPoint::Error))
    }

    /// Notifies hooks of the error of a request, except the hook `caused_by`, without waiting for
    /// them. To be called for errors that no turn has reported.
    pub fn notify_error(
        &self,
        request: &FailedRequest<'_>,
        error: &WireError,
        caused_by: Option<&str>,
    ) {
        let Some(set) = &self.0 else {
            return;
        };
        let hooks = set.choose(request.surface_name(), request.caller, None);
        let facts = RequestFacts::of_failed(request);
        let set = Arc::clone(set);
        let hooks = TurnHooks::new(set, hooks, facts, None, request.is_from_hook);
        hooks.notify_error(error, caused_by);
    }

    /// Notifies hooks of an event, in the form of a webhook event, without waiting for them. Must
    /// be called within a Tokio runtime.
    pub fn notify(&self, project: Option<&str>, kind: &str, data: &Value) {
        let Some(set) = &self.0 else {
            return;
        };
        let listening = set.hooks.iter().filter(|hook| hook.listens_to(project));
        let mut event = None;
        for hook in listening {
            let event = event.get_or_insert_with(|| WebhookEvent::new(kind, data).to_json());
            let content = HookContent {
                event: Some(event.clone()),
                ..HookContent::default()
            };
            let input = hook.input(HookPoint::Event, HookOperation::Notify, content);
            let hook = Arc::clone(hook);
            let metrics = set.metrics.clone();
            set.tracker
                .spawn(async move { hook.notify(&input, &metrics).await });
        }
    }
}

impl HookSet {
    /// Returns the hooks for a request, in their order.
    fn choose(
        &self,
        surface: &str,
        caller: Option<&Caller>,
        model: Option<&str>,
    ) -> Vec<Arc<ConfiguredHook>> {
        let is_for = |hook: &&Arc<ConfiguredHook>| hook.is_for(surface, caller, model);
        self.hooks.iter().filter(is_for).cloned().collect()
    }
}

/// Returns the hooks of the list, each program with its command, and a hook for each file of the
/// folder that the list does not name.
fn with_program_files(config: &Config) -> Result<Config, SettingRefusal> {
    let mut hooks = config.list.clone();
    if !config.programs.is_empty() {
        let refused = |message: String| SettingRefusal {
            key: "programs",
            message,
            hint: "name a folder of executable files, or leave it empty".to_owned(),
        };
        let folder = Path::new(&config.programs);
        let files = program_files(folder);
        let files = files.map_err(|error| refused(format!("{}: {error}", folder.display())))?;
        for file in files {
            let path = file.path.to_str();
            let path = path.ok_or_else(|| refused("a path is no UTF-8".to_owned()))?;
            let command = vec![path.to_owned()];
            match hooks.iter_mut().find(|hook| hook.name == file.name) {
                Some(hook) if hook.kind == HookKind::Program && hook.command.is_empty() => {
                    hook.command = command;
                }
                Some(_) => {
                    let message = format!("two hooks are called `{}`", file.name);
                    return Err(refused(message));
                }
                None => hooks.push(HookConfig::of_program(file.name, command)),
            }
        }
    }
    Ok(Config {
        programs: String::new(),
        list: hooks,
    })
}
