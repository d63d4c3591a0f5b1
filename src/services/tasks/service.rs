//! Service for tasks: creates, lists, follows, interrupts and deletes them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::active::ActiveTasks;
use super::active::TaskCounts;
use super::active::TaskRecorder;
use super::all_owners::OwnedTask;
use super::chosen_id::generate_id;
use super::config::Config;
use super::error::Error;
use super::follow::TaskFollower;
use super::prior_session_cost::PriorSessionCost;
use super::run::TaskRun;
use super::shared_origin::SharedOrigin;
use super::spec::TaskBounds;
use super::spec::TaskSpec;
use super::task::Task;
use super::task_store::TaskStore;
use super::task_trace::TaskTrace;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Permit;
use crate::accounts::rate_limit::RateLimits;
use crate::accounts::webhooks::WebhookEvent;
use crate::accounts::webhooks::Webhooks;
use crate::domain::Caller;
use crate::domain::ClaimedWork;
use crate::domain::ModelName;
use crate::engine::agent::AgentRunner;
use crate::engine::agent::AgentSession;
use crate::engine::agent::PermissionDecision;
use crate::engine::hooks::Hooks;
use crate::runtime::fair_queue::FairSemaphore;
use crate::runtime::run_registry::RunRegistry;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::TaskMetrics;
use crate::telemetry::traces::Tracer;

/// Dependencies of the task service.
pub struct TaskDeps {
    /// Starts agents; `None` without a sign-in to Claude.
    pub runner: Option<Arc<dyn AgentRunner>>,
    /// API keys, which own the tasks.
    pub keys: Arc<Keys>,
    /// Storage of tasks and events.
    pub store: TaskStore,
    /// Ledger that holds and charges the cost of tasks.
    pub ledger: Ledger,
    /// Prices of model calls, for costs that the CLI does not report.
    pub prices: Arc<Prices>,
    /// Rate limits of callers.
    pub rate_limits: RateLimits,
    /// Webhooks of projects, notified when a task ends.
    pub webhooks: Option<Webhooks>,
    /// Hooks that prompts and results pass, and that are notified of changes.
    pub hooks: Hooks,
    /// Metrics that tasks are counted in.
    pub metrics: TaskMetrics,
    /// Tracer of the tasks that have waited in the queue of several servers.
    pub tracer: Tracer,
    /// Tracker of the spawned runs and nothing else, as shutdown waits for it.
    pub tracker: TaskTracker,
    /// Cancelled at the start of a shutdown: agents are interrupted.
    pub stop: CancellationToken,
    /// Cancelled when the shutdown may wait no longer: agents are killed.
    pub kill: CancellationToken,
    /// Limits and defaults of tasks.
    pub config: Config,
}

/// Service for tasks. Cheap to clone: clones share all state.
#[derive(Clone)]
pub struct Tasks(pub(super) Arc<TasksInner>);

pub(super) struct TasksInner {
    pub(super) deps: TaskDeps,
    pub(super) active: ActiveTasks,
    pub(super) permits: FairSemaphore,
    /// Registry of the chosen ids whose tasks are being created or deleted.
    pub(super) chosen_ids: RunRegistry,
    /// Notified when the queue of several servers may have a task that this one has room for.
    pub(super) queue_changed: Notify,
}

impl fmt::Debug for TaskDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Parts")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tasks")
            .field("config", &self.0.deps.config)
            .finish_non_exhaustive()
    }
}

impl TasksInner {
    /// Returns the state of a task that waits or runs.
    pub(super) fn live_task(&self, owner: &str, id: &str) -> Option<Task> {
        let live = self.active.get(owner, id)?;
        let task = live.state().clone();
        Some(task)
    }

    /// Sends the event for the end of the task to the webhooks of its project and of the task.
    pub(super) async fn send_webhooks(&self, task: &Task) {
        self.notify_hooks(task.webhook_event_name(), task);
        let Some(webhooks) = &self.deps.webhooks else {
            return;
        };
        let event = || WebhookEvent::new(task.webhook_event_name(), &task.webhook_body());
        let of_project = webhooks.send(&task.project, event()).await;
        let of_task = match &task.webhook {
            Some(endpoint) => {
                webhooks
                    .send_to(&task.project, endpoint.clone(), event())
                    .await
            }
            None => Ok(()),
        };
        if let Err(error) = of_project.and(of_task) {
            tracing::warn!(task.id = task.id, error = %ErrorChain(&error), "task webhook not sent");
        }
    }
}

impl Tasks {
    /// Creates the service from its dependencies.
    pub fn new(parts: TaskDeps) -> Self {
        let room = FairSemaphore::new(parts.config.max_running);
        Self(Arc::new(TasksInner {
            deps: parts,
            active: ActiveTasks::default(),
            permits: room,
            chosen_ids: RunRegistry::default(),
            queue_changed: Notify::new(),
        }))
    }

    /// Waits until no task runs. Call it after `stop` was cancelled.
    pub async fn wait_until_ended(&self) {
        self.0.deps.tracker.close();
        self.0.deps.tracker.wait().await;
    }

    /// States of unfinished tasks: queued, running, and waiting for the answer to a permission
    /// request.
    pub const STATES: [&'static str; 3] = ["queued", "running", "awaiting_permission"];

    /// Returns the number of unfinished tasks by state, in the order of [`STATES`](Self::STATES).
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        let [queued, running, asking] = Self::STATES;
        let counts = TaskCounts::of(&self.0.active);
        [
            (queued, counts.queued),
            (running, counts.running),
            (asking, counts.asking),
        ]
    }

    /// Returns the default model of tasks.
    pub fn default_model(&self) -> &ModelName {
        &self.0.deps.config.model
    }

    /// Creates a task, and starts or queues it. Its maximum cost is held in the ledger before this
    /// returns.
    ///
    /// # Errors
    /// Fails when the request is invalid, or a limit, a budget or the store does not allow it.
    pub async fn create(&self, caller: &Caller, spec: TaskSpec) -> Result<Task, Error> {
        self.admit_request(caller).await?;
        self.create_admitted(caller, spec).await
    }

    /// Charges the request to the caller's rate limit, unless it was when it came.
    ///
    /// # Errors
    /// Fails when the limit is reached, tasks are disabled, or the server is shutting down.
    pub(super) async fn admit_request(&self, caller: &Caller) -> Result<(), Error> {
        let TaskDeps {
            runner,
            rate_limits: limits,
            stop,
            ..
        } = &self.0.deps;
        match runner {
            None => return Err(Error::Disabled),
            Some(_) if stop.is_cancelled() => return Err(Error::ShuttingDown),
            Some(_) => {}
        }
        // Counted as a request but not as a concurrent one: the task outlives its request.
        let mut permit = match caller.permit.take::<Permit>() {
            Some(permit) => permit,
            None => limits.admit(caller, 0).await?,
        };
        permit.settle(0);
        Ok(())
    }

    /// Creates a task that the rate limit has admitted.
    pub(super) async fn create_admitted(
        &self,
        caller: &Caller,
        mut spec: TaskSpec,
    ) -> Result<Task, Error> {
        let TaskDeps {
            runner,
            keys,
            store,
            config,
            tracker,
            ..
        } = &self.0.deps;
        let runner = runner.as_ref().ok_or(Error::Disabled)?;
        if let Some(task) = self.find_resumed(caller).await? {
            return Ok(task);
        }
        let owner = keys.owner_id(caller);
        let (bounds, spent) = self.resolve_bounds(caller, &owner, &spec).await?;
        let hooks = self.call_before(caller, &mut spec).await?;
        let TaskBounds {
            session,
            timeout,
            conversation_tokens: conversation,
            ..
        } = bounds;
        let wanted_budget = spec.max_budget;
        let parent = spec.parent.as_ref();
        let is_handover = parent.is_some_and(|parent| parent.is_handover);
        let is_shareable = self.0.is_shareable(&bounds, hooks.as_ref());
        let task = Task {
            shared: is_shareable.then(|| SharedOrigin::of(caller)),
            ..Task::queued(generate_id(caller), &caller.project, spec, bounds)
        };
        let active = &self.0.active;
        let (mut recorder, answers) =
            TaskRecorder::admit(active, &owner, task.clone(), store, config)?;
        let is_left = is_shareable && !self.0.has_room_for_registered();
        if !is_left {
            recorder.record_by(TaskTrace::begin(caller, &task));
        }
        let inner = Arc::clone(&self.0);
        let runner = Arc::clone(runner);
        let caller = caller.clone();
        let run = TaskRun {
            inner,
            runner,
            recorder,
            answers,
            timeout,
            session,
            wanted_budget,
            is_handover,
            prior_cost: spent,
            conversation_tokens: conversation,
            hooks,
        };
        let (hold_sender, hold_result) = oneshot::channel();
        let claimed = caller.claim.begin(ClaimedWork::Object);
        // Spawned, so that a client that disconnects meanwhile leaves a complete task.
        if is_left {
            tracker.spawn(run.leave_in_queue(caller, claimed, hold_sender));
        } else {
            tracker.spawn(run.hold_and_run(caller, claimed, hold_sender));
        }
        let task = hold_result.await.unwrap_or(Err(Error::ShuttingDown))?;
        if task.lineage.is_none() {
            return Ok(task);
        }
        self.0.with_family(&owner, task).await
    }

    /// Validates the request and resolves its limits. Returns the earlier cost of its session too.
    async fn resolve_bounds(
        &self,
        caller: &Caller,
        owner: &str,
        spec: &TaskSpec,
    ) -> Result<(TaskBounds, PriorSessionCost), Error> {
        let config = &self.0.deps.config;
        let workspace = config.roots.resolve(&spec.workspace)?;
        if spec.timeout.is_some_and(|timeout| timeout > config.timeout) {
            return Err(Error::TimeoutTooLong(config.timeout));
        }
        let host = spec.webhook.as_ref().map(|webhook| webhook.url.host());
        if host.is_some_and(|host| {
            !config
                .webhook_hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
        }) {
            return Err(Error::WebhookHost);
        }
        let (session, spent, conversation) = self
            .resolve_session(owner, spec.session, &workspace)
            .await?;
        let parent = spec.parent.as_ref();
        let lineage = self.resolve_lineage(caller, parent).await?;
        let budget = spec.max_budget.unwrap_or(config.budget);
        let timeout = spec.timeout.unwrap_or(config.timeout);
        Ok((
            TaskBounds {
                workspace,
                lineage,
                budget,
                timeout,
                session,
                conversation_tokens: conversation,
            },
            spent,
        ))
    }

    /// Resolves the session of a new task. Returns it with its earlier cost and the number of
    /// tokens of its conversation.
    async fn resolve_session(
        &self,
        owner: &str,
        requested_session: Option<Uuid>,
        workspace: &Path,
    ) -> Result<(AgentSession, PriorSessionCost, u64), Error> {
        let Some(requested_session) = requested_session else {
            return Ok((AgentSession::New(Uuid::new_v4()), PriorSessionCost::ZERO, 0));
        };
        let name = requested_session.to_string();
        let store = &self.0.deps.store;
        // The CLI stores sessions by folder.
        let is_of_it = |task: &Task| {
            task.session_id == name && task.started_at.is_some() && task.workspace == workspace
        };
        let earlier: Vec<Task> = store
            .load_all_of(owner)
            .await?
            .into_iter()
            .filter(is_of_it)
            .collect();
        if earlier.is_empty() {
            return Err(Error::UnknownSession(name));
        }
        let was_called = earlier.iter().any(|task| task.turns > 0);
        let spent = if was_called {
            PriorSessionCost(store.session_cost(owner, &name).await?)
        } else {
            PriorSessionCost::ZERO
        };
        // Each call adds its new prompt tokens and its answer; an earlier call added what is read
        // from the cache.
        let added = |task: &Task| task.tokens.input + task.tokens.cache_write + task.tokens.output;
        Ok((
            AgentSession::Stored(requested_session),
            spent,
            earlier.iter().map(added).sum(),
        ))
    }

    /// Returns the current state of a task.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, or the store fails.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let task = self.get_alone(caller, id).await?;
        let owner = self.0.deps.keys.owner_id(caller);
        self.0.with_family(&owner, task).await
    }

    /// Returns the current state of a task without its family, whose record need not be readable.
    pub(super) async fn get_alone(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let generated_id = self.generated_id(&owner, id).await?;
        let store = &self.0.deps.store;
        let found = match self.0.live_task(&owner, &generated_id) {
            Some(live) => Some(live),
            None => store.load_task(&owner, &generated_id).await?,
        };
        found.ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Returns the owner and the generated id of the task that the caller names `id`, by which the
    /// server that runs it is noted. There may be no such task.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn work_name(&self, caller: &Caller, id: &str) -> Result<(String, String), Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let id = self.generated_id(&owner, id).await?.into_owned();
        Ok((owner, id))
    }

    /// Returns true if this server runs the task of `caller` with the generated id `id` now.
    pub fn is_running(&self, caller: &Caller, id: &str) -> bool {
        let owner = self.0.deps.keys.owner_id(caller);
        self.0.active.get(&owner, id).is_some()
    }

    /// Lists the caller's tasks, oldest first.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Task>, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let stored = self.0.deps.store.load_all_of(&owner).await?;
        let now = |task: Task| self.0.live_task(&owner, &task.id).unwrap_or(task);
        let mut tasks: Vec<Task> = stored.into_iter().map(now).collect();
        tasks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        self.0.with_families(&owner, tasks).await
    }

    /// Answers a permission request of a task.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, or the task has no open request `question`.
    pub async fn answer_permission(
        &self,
        caller: &Caller,
        id: &str,
        question: &str,
        answer: PermissionDecision,
    ) -> Result<(), Error> {
        let task = self.get_alone(caller, id).await?;
        let owner = self.0.deps.keys.owner_id(caller);
        let found = OwnedTask { owner, task };
        self.answer_found(&found, question, answer).await
    }

    /// Reads the events of a task, starting with event number `first`.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, or the store fails.
    pub async fn follow(
        &self,
        caller: &Caller,
        id: &str,
        first: u64,
    ) -> Result<TaskFollower, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let generated_id = self.generated_id(&owner, id).await?;
        let task = match self.0.active.get(&owner, &generated_id) {
            Some(live) => live.follow(),
            None => watch::channel(self.get_alone(caller, id).await?).1,
        };
        Ok(TaskFollower {
            owner,
            task,
            store: self.0.deps.store.clone(),
            next: first,
            is_polled: false,
            ends_at_begin: false,
        })
    }
}
