//! Scripted hooks, and configurations for tests.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::telemetry::metrics::HookMetrics;

/// Longest wait for a hook that must answer.
const MAX_TEST_WAIT: Duration = Duration::from_secs(60);

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

    /// Hook that refuses everything with `message`.
    pub(crate) fn refusing(message: &str) -> Self {
        Self::answering(HookVerdict::Refuse {
            code: None,
            message: message.to_owned(),
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

/// Turn of one message of the user, without instructions.
pub(crate) fn turn(prompt: Vec<Part>) -> Turn {
    Turn {
        model: ModelName::new("m"),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt,
        sampling: Sampling::default(),
        project: None,
        native: Native::default(),
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

/// Header of a request that a hook makes, and its value.
pub(crate) fn mark_header() -> (&'static str, &'static str) {
    (HOOK_MARK_HEADER, super::hook_mark::hook_mark_value())
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

/// Asserts that ten thousand calls of `hook`, ten at a time, are answered and leave no file open.
pub(crate) async fn assert_calls_close_files(hook: &impl Hook) {
    let input = question();
    let before = open_files();
    for _ in 0..1000 {
        let calls = (0..10).map(|_| timeout(MAX_TEST_WAIT, hook.call(&input)));
        for answer in join_all(calls).await {
            answer.expect("the hook answers").unwrap();
        }
    }
    // Other tests of this process open files meanwhile, but not thousands.
    let after = open_files();
    assert!(after < before + 200, "{before} files became {after}");
}

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Question whether a turn may be run.
pub(crate) fn question() -> HookInput {
    HookInput {
        point: HookPoint::Before,
        op: HookOperation::Decide,
        ..notice()
    }
}
