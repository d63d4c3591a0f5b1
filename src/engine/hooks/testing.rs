//! Scripted hooks, and configurations for tests.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::telemetry::metrics::HookMetrics;

type Script = dyn Fn(&HookInput) -> Result<HookReply, HookFailure> + Send + Sync;

/// Hook that answers by a script, and records its inputs.
#[derive(Clone)]
pub(crate) struct ScriptedHook {
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<HookInput>>>,
}

impl fmt::Debug for ScriptedHook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScriptedHook")
    }
}

impl ScriptedHook {
    pub(crate) fn new(
        script: impl Fn(&HookInput) -> Result<HookReply, HookFailure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Arc::new(script),
            calls: Arc::default(),
        }
    }

    /// Hook that lets everything pass.
    pub(crate) fn passing() -> Self {
        Self::new(|_| Ok(HookReply::pass()))
    }

    /// Hook that gives the same answer each time.
    pub(crate) fn answering(verdict: HookVerdict) -> Self {
        Self::new(move |_| {
            Ok(HookReply {
                verdict: verdict.clone(),
                ..HookReply::pass()
            })
        })
    }

    /// Returns the inputs so far.
    pub(crate) fn calls(&self) -> Vec<HookInput> {
        self.calls.lock().unwrap().clone()
    }
}

impl Hook for ScriptedHook {
    fn call<'a>(&'a self, input: &'a HookInput) -> BoxFuture<'a, Result<HookReply, HookFailure>> {
        self.calls.lock().unwrap().push(input.clone());
        std::future::ready((self.script)(input)).boxed()
    }
}

/// Returns what hooks need, without an environment and for metrics that nothing reads.
pub(crate) fn deps() -> HookDeps {
    HookDeps {
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
        metrics: HookMetrics::default(),
    }
}

/// Reads the configuration of one hook from TOML.
pub(crate) fn hook_config(toml: &str) -> HookConfig {
    toml::from_str(toml).unwrap()
}

/// Hooks of the filters in `list`, each a table of TOML.
pub(crate) fn filters(list: &[&str]) -> Hooks {
    let config = Config {
        programs: String::new(),
        list: list.iter().map(|toml| hook_config(toml)).collect(),
    };
    Hooks::start(&config, &deps()).unwrap()
}

/// Hooks that are scripted, each with its configuration in TOML.
pub(crate) fn scripted(list: Vec<(&str, ScriptedHook)>) -> Hooks {
    scripted_with(list, &deps())
}

/// Hooks that are scripted, with `deps`.
pub(crate) fn scripted_with(list: Vec<(&str, ScriptedHook)>, deps: &HookDeps) -> Hooks {
    let hooks = list.into_iter().map(|(toml, hook)| {
        let hook: Arc<dyn Hook> = Arc::new(hook);
        (hook_config(toml), hook)
    });
    Hooks::custom(hooks.collect(), deps).unwrap()
}

/// Notice of an event.
pub(crate) fn notice() -> HookInput {
    HookInput {
        v: 1,
        point: HookPoint::Event,
        op: HookOperation::Notify,
        hook: "test".into(),
        request: None,
        content: HookContent::default(),
    }
}

/// Question whether a turn may be run.
pub(crate) fn question() -> HookInput {
    HookInput {
        point: HookPoint::Before,
        op: HookOperation::Decide,
        ..notice()
    }
}
