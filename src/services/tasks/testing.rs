//! Scripted agents, and a task service that runs them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;
use crate::accounts::auth::Keys;
use crate::accounts::ledger;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::WorkOwners;
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit;
use crate::domain::Caller;
use crate::domain::Failure;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::Agent;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentRunner;
use crate::engine::agent::AgentStop;
use crate::engine::agent::PermissionDecision;
use crate::engine::agent::PermissionRequest;
use crate::engine::hooks::Hooks;
use crate::storage::store::Store;
use crate::storage::store::TtlLimits;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;

/// Prompt of an agent that never becomes ready.
pub(crate) const NEVER_READY: &str = "never ready";

/// Model whose prices are five times higher for prompts of more than 100,000 tokens.
pub(crate) const LONG_TARIFF_MODEL: &str = "stepped";

/// Name of a server that shares nothing with others.
const NODE: &str = "server";

/// Number of tasks that a service with much room takes.
const MANY_TASKS: usize = 100;

/// Call received by a scripted agent.
#[derive(Debug, PartialEq)]
pub(crate) enum AgentCall {
    Answer(String, PermissionDecision),
    Interrupt,
    /// The agent was dropped.
    Dropped,
}

/// Controls one scripted agent.
pub(crate) struct AgentScript {
    pub(crate) job: AgentJob,
    pub(crate) events: UnboundedSender<Result<AgentEvent, Failure>>,
    pub(crate) calls: UnboundedReceiver<AgentCall>,
}

#[derive(Debug)]
struct ScriptedRunner {
    agents: UnboundedSender<AgentScript>,
    forgotten: UnboundedSender<Uuid>,
}

struct ScriptedAgent {
    events: UnboundedReceiver<Result<AgentEvent, Failure>>,
    calls: UnboundedSender<AgentCall>,
}

impl AgentRunner for ScriptedRunner {
    fn start(&self, job: AgentJob) -> BoxFuture<'_, Result<Box<dyn Agent>, Failure>> {
        let (event_sender, events) = mpsc::unbounded_channel();
        let (calls, call_receiver) = mpsc::unbounded_channel();
        let is_ready = job.prompt != NEVER_READY;
        self.agents
            .send(AgentScript {
                job,
                events: event_sender,
                calls: call_receiver,
            })
            .unwrap();
        if !is_ready {
            return std::future::pending().boxed();
        }
        async { Ok(Box::new(ScriptedAgent { events, calls }) as Box<dyn Agent>) }.boxed()
    }

    fn forget_session(&self, session: Uuid) {
        let _ = self.forgotten.send(session);
    }

    fn forget_other_sessions(&self, _sessions: HashSet<Uuid>) {}
}

impl Agent for ScriptedAgent {
    fn send_prompt(&mut self) {}

    fn next_event(&mut self) -> BoxFuture<'_, Result<AgentEvent, Failure>> {
        async {
            match self.events.recv().await {
                Some(line) => line,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn answer_permission(&mut self, question: &str, answer: PermissionDecision) {
        let _ = self
            .calls
            .send(AgentCall::Answer(question.to_owned(), answer));
    }

    fn interrupt(&mut self) {
        let _ = self.calls.send(AgentCall::Interrupt);
    }
}

impl Drop for ScriptedAgent {
    fn drop(&mut self) {
        let _ = self.calls.send(AgentCall::Dropped);
    }
}

impl AgentScript {
    pub(crate) fn emit(&self, event: AgentEvent) {
        self.events.send(Ok(event)).unwrap();
    }

    pub(crate) fn request_permission(&self, id: &str) {
        self.emit(AgentEvent::PermissionRequested(PermissionRequest {
            id: id.to_owned(),
            tool: "Bash".to_owned(),
            tool_use_id: "toolu_1".to_owned(),
            input: r#"{"command":"ls"}"#.to_owned(),
            reason: None,
        }));
    }

    /// Reports one model call, and then the end.
    pub(crate) fn end(&self, reason: AgentStop, dollars: &str) {
        self.emit(AgentEvent::AnswerStarted {
            model: "haiku".to_owned(),
        });
        self.emit(AgentEvent::Finished(AgentReport {
            reason,
            result: "words".to_owned(),
            usage: Usage {
                input_tokens: 7,
                output_tokens: 3,
                ..Usage::default()
            },
            session_cost: Money::from_decimal(dollars),
        }));
    }
}

/// Task service with scripted agents.
pub(crate) struct TaskTestServer {
    pub(crate) tasks: Tasks,
    pub(crate) agents: UnboundedReceiver<AgentScript>,
    /// Sessions that the runner was asked to delete.
    pub(crate) forgotten: UnboundedReceiver<Uuid>,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    pub(crate) kill: CancellationToken,
    pub(crate) folder: TempDir,
}

impl TaskTestServer {
    pub(crate) async fn open() -> Self {
        Self::with_store(
            &Store::in_memory(TaskTracker::new()),
            tempfile::tempdir().unwrap(),
        )
        .await
    }

    pub(crate) async fn with_store(store: &Store, folder: TempDir) -> Self {
        Self::with_everything(
            Keys::none(),
            (store, NODE),
            folder,
            Hooks::default(),
            |_| {},
        )
        .await
    }

    /// Creates a service for callers with `keys`.
    pub(crate) async fn for_keys(keys: Keys) -> Self {
        let store = Store::in_memory(TaskTracker::new());
        let folder = tempfile::tempdir().unwrap();
        Self::with_everything(keys, (&store, NODE), folder, Hooks::default(), |_| {}).await
    }

    /// Creates a service in which many tasks run at once.
    pub(crate) async fn with_room() -> Self {
        let store = Store::in_memory(TaskTracker::new());
        let folder = tempfile::tempdir().unwrap();
        let widen = |config: &mut Config| {
            config.max_running = MANY_TASKS;
            config.queue_length = MANY_TASKS;
            config.max_per_key = MANY_TASKS;
        };
        let hooks = Hooks::default();
        Self::with_everything(Keys::none(), (&store, NODE), folder, hooks, widen).await
    }

    /// Creates a service whose tasks pass `hooks`.
    pub(crate) async fn with_hooks(hooks: Hooks) -> Self {
        let store = Store::in_memory(TaskTracker::new());
        let folder = tempfile::tempdir().unwrap();
        Self::with_everything(Keys::none(), (&store, NODE), folder, hooks, |_| {}).await
    }

    /// Creates the service of the server `node`, which shares `store` and the folders below `root` with
    /// others.
    pub(crate) async fn sharing(store: &Store, node: &str, folder: TempDir, root: &Path) -> Self {
        let share = |config: &mut Config| {
            config.roots = WorkspaceRoots::new([root.to_owned()]);
            config.shared_workspaces = true;
        };
        let hooks = Hooks::default();
        Self::with_everything(Keys::none(), (store, node), folder, hooks, share).await
    }

    async fn with_everything(
        keys: Keys,
        (store, node): (&Store, &str),
        folder: TempDir,
        hooks: Hooks,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (sender, agents) = mpsc::unbounded_channel();
        let (forgets, forgotten) = mpsc::unbounded_channel();
        // 2026-11-21 in UTC.
        let config = ledger::Config {
            keep_charges_days: 1,
            node: node.to_owned(),
        };
        let clock = Clock::new(|| 1_795_219_200);
        let metrics = Metrics::new();
        let opened =
            Ledger::open_measured(store.clone(), clock, config, metrics.ledger.clone()).await;
        let opened = opened.unwrap();
        let stop = CancellationToken::new();
        let kill = CancellationToken::new();
        let limits = TtlLimits {
            time_to_live: Duration::from_secs(600),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        let mut task_config = Config {
            roots: WorkspaceRoots::new([folder.path().to_owned()]),
            shared_workspaces: false,
            model: ModelName::new("sonnet"),
            webhook_hosts: vec!["hooks.example.com".to_owned()],
            max_running: 1,
            queue_length: 2,
            max_per_key: 2,
            timeout: Duration::from_secs(60),
            budget: Money::from_decimal("1").unwrap(),
            max_output_tokens: 32_000,
            permission_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(5),
        };
        change(&mut task_config);
        let tasks = Tasks::new(TaskDeps {
            runner: Some(Arc::new(ScriptedRunner {
                agents: sender,
                forgotten: forgets,
            })),
            keys: Arc::new(keys),
            store: TaskStore::new(store, limits).with_owners(WorkOwners::of(&opened.ledger)),
            ledger: opened.ledger.clone(),
            prices: Arc::new(prices()),
            rate_limits: rate_limit::RateLimits::new(rate_limit::Config::default()),
            webhooks: None,
            hooks,
            metrics: metrics.tasks.clone(),
            tracer: Tracer::default(),
            tracker: TaskTracker::new(),
            stop: stop.clone(),
            kill: kill.clone(),
            config: task_config,
        });
        Self {
            tasks,
            agents,
            forgotten,
            ledger: opened.ledger,
            metrics,
            stop,
            kill,
            folder,
        }
    }

    pub(crate) fn spec(&self) -> TaskSpec {
        TaskSpec {
            chosen: None,
            parent: None,
            prompt: "do it".to_owned(),
            workspace: self.folder.path().to_owned(),
            model: ModelName::new("sonnet"),
            system_prompt: None,
            tools: ToolPreset::Edit.tools(None, &[]).unwrap(),
            permission_mode: ToolPreset::Edit.permission_mode(),
            max_turns: None,
            max_budget: None,
            timeout: None,
            session: None,
            webhook: None,
        }
    }

    pub(crate) async fn create(&self) -> Task {
        self.tasks.create(&me(), self.spec()).await.unwrap()
    }

    /// Returns the events of a task from number `first` on, one JSON line each.
    pub(crate) async fn read_events(&self, id: &str, first: u64) -> String {
        let follower = self.tasks.follow(&me(), id, first).await.unwrap();
        let mut events = std::pin::pin!(follower.into_events());
        let mut text = String::new();
        while let Some(event) = events.next().await {
            let FollowedEvent { event, .. } = event.unwrap();
            let kind = serde_json::to_value(&event.kind).unwrap();
            writeln!(text, "{} {kind}", event.sequence_number).unwrap();
        }
        text
    }

    /// Waits until the permission request `question` of a task is open.
    pub(crate) async fn wait_for_question(&self, id: &str, question: &str) {
        loop {
            let task = self.tasks.get(&me(), id).await.unwrap();
            if task.questions.iter().any(|open| open.id == question) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a task has ended.
    pub(crate) async fn wait_until_ended(&self, id: &str) -> Task {
        self.read_events(id, 0).await;
        self.tasks.get(&me(), id).await.unwrap()
    }
}

/// Prices of all models: $1 per million prompt tokens, $10 per million output tokens.
fn prices() -> Prices {
    let price = "input 1, output 10, cache write 1, cache read 1";
    let long = "input 5, output 50, cache write 5, cache read 5";
    let stepped = format!("{price}; above 100000: {long}");
    let models = [
        ("haiku".to_owned(), price.parse().unwrap()),
        (LONG_TARIFF_MODEL.to_owned(), stepped.parse().unwrap()),
    ];
    Prices::new(pricing::Config {
        models: models.into(),
        assumed_output_tokens: 0,
        image_tokens: 0,
        document_tokens: 0,
        web_search: crate::domain::Money::ZERO,
    })
}

pub(crate) fn me() -> Caller {
    Caller::named("local")
}
