//! Service for tasks: creates, lists, follows, interrupts and deletes them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::chosen::make_id;
use super::error::Error;
use super::follow::Follower;
use super::live::Command;
use super::live::Lives;
use super::live::Log;
use super::run::Run;
use super::shelves::Shelves;
use super::spec::Bounds;
use super::spec::Config;
use super::spec::Spec;
use super::spent::Spent;
use super::task::Status;
use super::task::Task;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Limits;
use crate::accounts::webhooks::Event;
use crate::accounts::webhooks::Webhooks;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::engine::agent::Answer;
use crate::engine::agent::Runner;
use crate::engine::agent::Session;
use crate::runtime::fair_queue::Permits;

/// Interval between cleanups of CLI sessions that no stored task uses.
const TIDY_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Dependencies of the task service.
pub struct Parts {
    /// Starts agents; `None` without a sign-in to Claude.
    pub runner: Option<Arc<dyn Runner>>,
    /// API keys, which own the tasks.
    pub keys: Arc<Keys>,
    /// Storage of tasks and events.
    pub shelves: Shelves,
    /// Ledger that holds and charges the cost of tasks.
    pub ledger: Ledger,
    /// Prices of model calls, for costs that the CLI does not report.
    pub prices: Arc<Prices>,
    /// Rate limits of callers.
    pub limits: Limits,
    /// Webhooks of projects, told when a task ends.
    pub webhooks: Option<Webhooks>,
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
pub struct Tasks(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) lives: Lives,
    pub(super) room: Permits,
    /// Lock that serializes creating and deleting tasks with chosen ids.
    pub(super) names: Arc<AsyncMutex<()>>,
}

impl fmt::Debug for Parts {
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
            .field("config", &self.0.parts.config)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Sends the event for the end of the task to the webhooks of its project and of the task.
    pub(super) async fn tell_webhooks(&self, task: &Task) {
        let Some(webhooks) = &self.parts.webhooks else {
            return;
        };
        let event = || Event::new(task.event_name(), &task.summary());
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
            let error: &dyn std::error::Error = &error;
            tracing::warn!(task.id = task.id, error, "task webhook not sent");
        }
    }
}

impl Tasks {
    /// Creates the service from its dependencies.
    pub fn new(parts: Parts) -> Self {
        let room = Permits::new(parts.config.max_running);
        Self(Arc::new(Inner {
            parts,
            lives: Lives::default(),
            room,
            names: Arc::default(),
        }))
    }

    /// Ends the tasks that an earlier process left unfinished: started ones as interrupted, queued
    /// ones as cancelled. Returns their number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        let shelves = &self.0.parts.shelves;
        let mut found = 0;
        for (owner, mut task) in shelves.all().await?.0 {
            if task.status.is_over() {
                continue;
            }
            // The stored counter may lag behind the stored events.
            while shelves
                .event(&owner, &task.id, task.events)
                .await?
                .is_some()
            {
                task.events += 1;
            }
            let status = if task.started_at.is_some() {
                Status::Interrupted
            } else {
                Status::Cancelled
            };
            let (log, _) = Log::new(&owner, task, shelves);
            log.end(|task| task.status = status, None, &self.0.parts.kill)
                .await;
            self.0.tell_webhooks(&log.task()).await;
            found += 1;
        }
        Ok(found)
    }

    /// Starts the periodic cleanup of CLI sessions that no stored task uses. Ends at shutdown.
    pub fn keep_tidy(&self) {
        let (this, stop) = (self.clone(), self.0.parts.stop.clone());
        self.0.parts.tracker.spawn(async move {
            while stop
                .run_until_cancelled(sleep(TIDY_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = this.tidy().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "task session cleanup failed"
                    );
                }
            }
        });
    }

    async fn tidy(&self) -> Result<(), Error> {
        let Parts {
            runner: Some(runner),
            shelves,
            ..
        } = &self.0.parts
        else {
            return Ok(());
        };
        let (tasks, unreadable) = shelves.all().await?;
        if unreadable > 0 {
            // Which sessions belong to tasks that cannot be read is unknown, so none is forgotten.
            return Ok(());
        }
        runner.forget_others(
            tasks
                .iter()
                .filter_map(|(_, task)| task.session_id.parse().ok())
                .collect(),
        );
        Ok(())
    }

    /// Waits until no task runs. Call it after `stop` was cancelled.
    pub async fn ended(&self) {
        self.0.parts.tracker.close();
        self.0.parts.tracker.wait().await;
    }

    /// Returns the number of queued and of running tasks, by status name.
    pub fn counts(&self) -> [(&'static str, usize); 2] {
        let (queued, running) = self.0.lives.counts();
        [("queued", queued), ("running", running)]
    }

    /// Returns the default model of tasks.
    pub fn model(&self) -> &ModelName {
        &self.0.parts.config.model
    }

    /// Creates a task, and starts or queues it. Its maximum cost is held in the ledger before this
    /// returns.
    ///
    /// # Errors
    /// When the request is invalid, or a limit, a budget or the store does not allow it.
    pub async fn create(&self, caller: &Caller, spec: Spec) -> Result<Task, Error> {
        self.admit(caller)?;
        self.begin(caller, spec).await
    }

    /// Charges the request to the caller's rate limit.
    ///
    /// # Errors
    /// When the limit is reached, tasks are disabled, or the server is shutting down.
    pub(super) fn admit(&self, caller: &Caller) -> Result<(), Error> {
        let Parts {
            runner,
            limits,
            stop,
            ..
        } = &self.0.parts;
        match runner {
            None => return Err(Error::Off),
            Some(_) if stop.is_cancelled() => return Err(Error::ShuttingDown),
            Some(_) => {}
        }
        // Counted as a request but not as a concurrent one: the task outlives its request.
        limits.admit(caller, 0)?.settle(0);
        Ok(())
    }

    /// Creates a task that the rate limit has admitted.
    pub(super) async fn begin(&self, caller: &Caller, spec: Spec) -> Result<Task, Error> {
        let Parts {
            runner,
            keys,
            shelves,
            config,
            tracker,
            ..
        } = &self.0.parts;
        let runner = runner.as_ref().ok_or(Error::Off)?;
        let owner = keys.owner(caller);
        let (bounds, spent) = self.bounds(&owner, &spec).await?;
        let Bounds {
            session,
            timeout,
            conversation,
            ..
        } = bounds;
        let task = Task::queued(make_id(), &caller.project, spec, bounds);
        let (log, commands, place) = self.0.lives.admit(&owner, task.clone(), shelves, config)?;
        let (inner, runner, caller) = (Arc::clone(&self.0), Arc::clone(runner), caller.clone());
        let run = Run {
            inner,
            runner,
            log,
            commands,
            place,
            timeout,
            session,
            spent,
            conversation,
        };
        let (made, hears) = oneshot::channel();
        // Spawned, so that a client that disconnects meanwhile leaves a complete task.
        tracker.spawn(run.begin(caller, made));
        hears
            .await
            .unwrap_or(Err(Error::ShuttingDown))
            .map(|()| task)
    }

    /// Validates the request and resolves its limits. Returns the earlier cost of its session too.
    async fn bounds(&self, owner: &str, spec: &Spec) -> Result<(Bounds, Spent), Error> {
        let config = &self.0.parts.config;
        let workspace = config.roots.resolve(&spec.workspace)?;
        if spec.timeout.is_some_and(|timeout| timeout > config.timeout) {
            return Err(Error::TooLong(config.timeout));
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
        let (session, spent, conversation) = self.session(owner, spec.session, &workspace).await?;
        let (budget, timeout) = (
            spec.max_budget.unwrap_or(config.budget),
            spec.timeout.unwrap_or(config.timeout),
        );
        Ok((
            Bounds {
                workspace,
                budget,
                timeout,
                session,
                conversation,
            },
            spent,
        ))
    }

    /// Resolves the session of a new task. Returns it with its earlier cost and the number of
    /// tokens of its conversation.
    async fn session(
        &self,
        owner: &str,
        asked: Option<Uuid>,
        workspace: &Path,
    ) -> Result<(Session, Spent, u64), Error> {
        let Some(asked) = asked else {
            return Ok((Session::New(Uuid::new_v4()), Spent::NOTHING, 0));
        };
        let (name, shelves) = (asked.to_string(), &self.0.parts.shelves);
        // The CLI stores sessions by folder.
        let is_of_it = |task: &Task| {
            task.session_id == name && task.started_at.is_some() && task.workspace == workspace
        };
        let earlier: Vec<Task> = shelves
            .of(owner)
            .await?
            .into_iter()
            .filter(is_of_it)
            .collect();
        if earlier.is_empty() {
            return Err(Error::UnknownSession(name));
        }
        let was_called = earlier.iter().any(|task| task.turns > 0);
        let spent = if was_called {
            Spent(shelves.session_cost(owner, &name).await?)
        } else {
            Spent::NOTHING
        };
        // Each call adds its new prompt tokens and its answer; an earlier call added what is read
        // from the cache.
        let added = |task: &Task| task.tokens.input + task.tokens.cache_write + task.tokens.output;
        Ok((
            Session::Stored(asked),
            spent,
            earlier.iter().map(added).sum(),
        ))
    }

    /// Returns the current state of a task.
    ///
    /// # Errors
    /// When the caller has no task with this id, or the store fails.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let made = self.made_id(&owner, id).await?;
        if let Some(live) = self.0.lives.get(&owner, &made) {
            return Ok(live.task.borrow().clone());
        }
        self.0
            .parts
            .shelves
            .task(&owner, &made)
            .await?
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Lists the caller's tasks, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Task>, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let stored = self.0.parts.shelves.of(&owner).await?;
        let now = |task: Task| match self.0.lives.get(&owner, &task.id) {
            Some(live) => live.task.borrow().clone(),
            None => task,
        };
        let mut tasks: Vec<Task> = stored.into_iter().map(now).collect();
        tasks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tasks)
    }

    /// Interrupts a running task, or cancels a queued one. Returns the state of the task at the
    /// time of the call: it may still be running.
    ///
    /// # Errors
    /// When the caller has no task with this id, or the task has ended.
    pub async fn interrupt(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let task = self.get(caller, id).await?;
        let live = self
            .0
            .lives
            .get(&self.0.parts.keys.owner(caller), &task.id)
            .ok_or(Error::Over)?;
        live.tell(Command::Interrupt);
        Ok(task)
    }

    /// Deletes a task with all its events, after interrupting it if it is running. Returns its last
    /// state.
    ///
    /// # Errors
    /// When the caller has no task with this id, or the store fails.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let id = &*self.made_id(&owner, id).await?;
        if let Some(live) = self.0.lives.get(&owner, id) {
            live.tell(Command::Interrupt);
            live.over().await;
        }
        let task = self.get(caller, id).await?;
        let Parts {
            shelves, runner, ..
        } = &self.0.parts;
        {
            // A task that is being created with the same chosen id keeps that id.
            let _names = self.0.names.lock().await;
            shelves.remove(&owner, &task).await?;
        }
        let is_left = shelves
            .of(&owner)
            .await?
            .iter()
            .any(|other| other.session_id == task.session_id);
        if let (Some(runner), Ok(session), false) = (runner, task.session_id.parse(), is_left) {
            runner.forget(session);
        }
        Ok(task)
    }

    /// Answers a permission request of a task.
    ///
    /// # Errors
    /// When the caller has no task with this id, or the task has no open request `question`.
    pub async fn answer(
        &self,
        caller: &Caller,
        id: &str,
        question: &str,
        answer: Answer,
    ) -> Result<(), Error> {
        let task = self.get(caller, id).await?;
        let unknown = || Error::UnknownQuestion(question.to_owned());
        let live = self
            .0
            .lives
            .get(&self.0.parts.keys.owner(caller), &task.id)
            .ok_or_else(unknown)?;
        let (heard, is_heard) = oneshot::channel();
        live.tell(Command::Answer(question.to_owned(), answer, heard));
        // A task that has ended meanwhile has no open request.
        if is_heard.await.unwrap_or(false) {
            Ok(())
        } else {
            Err(unknown())
        }
    }

    /// Reads the events of a task, starting with event number `first`.
    ///
    /// # Errors
    /// When the caller has no task with this id, or the store fails.
    pub async fn follow(&self, caller: &Caller, id: &str, first: u64) -> Result<Follower, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let made = self.made_id(&owner, id).await?;
        let task = match self.0.lives.get(&owner, &made) {
            Some(live) => live.task,
            None => watch::channel(self.get(caller, id).await?).1,
        };
        Ok(Follower {
            owner,
            task,
            shelves: self.0.parts.shelves.clone(),
            next: first,
        })
    }
}
