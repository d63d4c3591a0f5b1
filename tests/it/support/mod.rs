//! A small language for tests against real processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use claude_switchboard::claude;
use claude_switchboard::claude::{ClaudeLauncher, SignIn};
use claude_switchboard::domain::{Caller, Message, ModelName, Role, Sampling, Turn, TurnEvent};
use claude_switchboard::gateway::{Gateway, RunningTurn, SignInState, Turns};
use claude_switchboard::pool::{self, Pool};
use futures::StreamExt;
use messages_stand_in::StandIn;
use tokio_util::task::TaskTracker;

pub(crate) fn real_cli() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(".cache/cli/node_modules/@anthropic-ai/claude-code/bin/claude.exe");
    assert!(path.exists(), "the Claude CLI is not installed: run tools/install-cli");
    path
}

pub(crate) struct Engine {
    pub(crate) upstream: StandIn,
    pub(crate) gateway: Gateway<ClaudeLauncher>,
    pub(crate) pool: Pool<ClaudeLauncher>,
    pub(crate) tracker: TaskTracker,
    pub(crate) data_dir: tempfile::TempDir,
    _lock: claude::DataDir,
}

impl Engine {
    pub(crate) async fn start(max_workers: usize, sign_in: SignIn) -> Self {
        let upstream = StandIn::start().await.unwrap();
        let data_dir = tempfile::tempdir().unwrap();
        let lock = claude::take_data_dir(data_dir.path()).unwrap();
        let environment: BTreeMap<String, String> = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("ANTHROPIC_API_KEY", "sk-test".to_owned()),
            ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-test".to_owned()),
            ("ANTHROPIC_BASE_URL", upstream.base_url()),
        ]
        .map(|(a, b)| (a.to_owned(), b))
        .into();
        let config = claude::Config {
            binary: real_cli(),
            sign_in,
            environment,
            pass_environment: vec![],
            data_dir: data_dir.path().to_owned(),
            max_retries: 0,
            event_timeout: Duration::from_secs(20),
            control_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            max_line_bytes: 16 * 1024 * 1024,
        };
        let tracker = TaskTracker::new();
        let launcher = ClaudeLauncher::prepare(config, &lock.instance, tracker.clone()).await.unwrap();
        let pool_config = pool::Config {
            max_workers,
            prewarm: 1,
            queue_length: 100,
            queue_timeout: Duration::from_secs(30),
            max_turns: 100,
            max_age: Duration::from_secs(1000),
            idle_timeout: Duration::from_secs(1000),
        };
        let pool = Pool::start(launcher, pool_config, tracker.clone());
        let gateway = Gateway::new(SignInState::SignedIn(pool.clone()), [].into());
        Self { upstream, gateway, pool, tracker, data_dir, _lock: lock }
    }

    pub(crate) async fn run(&self, turn: Turn) -> RunningTurn {
        self.gateway.run(Caller { name: "test".into() }, turn).await.unwrap()
    }

    pub(crate) async fn answer(&self, turn: Turn) -> (String, Vec<TurnEvent>) {
        let running = self.run(turn).await;
        let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
        let text = events
            .iter()
            .filter_map(|e| if let TurnEvent::Text(t) = e { Some(t.as_str()) } else { None })
            .collect();
        (text, events)
    }
}

pub(crate) fn turn(prompt: &str) -> Turn {
    Turn {
        model: ModelName::new("haiku"),
        system: vec![],
        history: vec![],
        prompt: vec![prompt.into()],
        sampling: Sampling::default(),
    }
}

pub(crate) fn said(role: Role, text: &str) -> Message {
    Message { role, texts: vec![text.into()] }
}
