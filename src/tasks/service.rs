//! What can be done with tasks.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::agent::Answer;
use super::agent::Runner;
use super::agent::Session;
use super::error::Error;
use super::follow::Follower;
use super::live::Command;
use super::live::Lives;
use super::run::Run;
use super::shelves::Shelves;
use super::spec::Config;
use super::spec::Spec;
use super::task::Status;
use super::task::Task;
use crate::auth::Keys;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Money;
use crate::ledger::Ledger;
use crate::webhooks::Webhooks;

/// What tasks are run with.
pub struct Parts {
    /// Starts agents; none where the server has no sign-in.
    pub runner: Option<Arc<dyn Runner>>,
    /// Whose tasks are whose.
    pub keys: Arc<Keys>,
    /// Where they are kept.
    pub shelves: Shelves,
    /// What they cost is charged here.
    pub ledger: Ledger,
    /// Projects hear of their ends.
    pub webhooks: Option<Webhooks>,
    /// Where they live.
    pub tracker: TaskTracker,
    /// Cancelled when they are to end.
    pub stop: CancellationToken,
    /// The bounds.
    pub config: Config,
}

/// Tasks. Clones share them.
#[derive(Clone)]
pub struct Tasks(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) lives: Lives,
    pub(super) room: Arc<Semaphore>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tasks").field("config", &self.0.parts.config).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Tasks made of `parts`.
    pub fn new(parts: Parts) -> Self {
        let room = Arc::new(Semaphore::new(parts.config.max_running));
        Self(Arc::new(Inner { parts, lives: Lives::default(), room }))
    }

    /// Marks what an earlier server was still running as interrupted, and says how much that was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        let (lives, shelves) = (&self.0.lives, &self.0.parts.shelves);
        let mut found = 0;
        for (owner, mut task) in shelves.all(None).await? {
            if task.status.is_over() {
                continue;
            }
            // It is written down less often than it tells.
            while shelves.event(&owner, &task.id, task.events).await?.is_some() {
                task.events += 1;
            }
            let has_begun = task.started_at.is_some();
            let id = task.id.clone();
            let (log, _) = lives.add(&owner, task, shelves);
            let status = if has_begun { Status::Interrupted } else { Status::Cancelled };
            log.end(|task| task.status = status).await?;
            lives.remove(&owner, &id);
            found += 1;
        }
        Ok(found)
    }

    /// Begins a task, or puts it into the queue. What it may cost is held before this returns.
    ///
    /// # Errors
    /// When it may not be run, or cannot be.
    pub async fn create(&self, caller: &Caller, spec: Spec) -> Result<Task, Error> {
        let Parts { runner, keys, shelves, ledger, config, tracker, .. } = &self.0.parts;
        let runner = runner.as_ref().filter(|_| !config.roots.is_empty()).ok_or(Error::Off)?;
        let workspace = config.roots.resolve(&spec.workspace)?;
        let owner = keys.owner(caller);
        let (session, spent) = self.session(&owner, spec.session, &workspace).await?;
        if self.0.lives.count() >= config.max_running + config.queue_length {
            return Err(Error::Full);
        }
        let id = format!("task_{}", Uuid::new_v4().simple());
        let budget = spec.max_budget.unwrap_or(config.budget);
        let hold = ledger.hold(caller, Amount { tokens: 0, money: budget }, &id).await?;
        let timeout = spec.timeout.map_or(config.timeout, |timeout| timeout.min(config.timeout));
        let permission_mode = spec.permission_mode;
        let job = spec.into_job(id, workspace, budget, session);
        let task = Task::queued(&job, permission_mode);
        shelves.save(&owner, &task).await?;
        let (log, commands) = self.0.lives.add(&owner, task.clone(), shelves);
        let run = Run {
            inner: Arc::clone(&self.0),
            runner: Arc::clone(runner),
            log,
            commands,
            project: caller.project.clone(),
            timeout,
            spent,
        };
        tracker.spawn(run.drive(job, hold));
        Ok(task)
    }

    /// The session that a task is to work in, and what that has cost before.
    async fn session(
        &self,
        owner: &str,
        asked: Option<Uuid>,
        workspace: &Path,
    ) -> Result<(Session, Money), Error> {
        let Some(asked) = asked else { return Ok((Session::New(Uuid::new_v4()), Money::ZERO)) };
        let name = asked.to_string();
        let tasks = self.0.parts.shelves.all(Some(owner)).await?;
        // The CLI keeps sessions by their folders.
        let is_of_it =
            |task: &Task| task.session_id == name && task.started_at.is_some() && task.workspace == workspace;
        let earlier: Vec<Task> =
            tasks.into_iter().map(|(_, task)| task).filter(|task| is_of_it(task)).collect();
        if earlier.is_empty() {
            return Err(Error::UnknownSession(name));
        }
        if let Some(task) = self.0.lives.in_session(&name) {
            return Err(Error::SessionBusy(task));
        }
        let spent = earlier.iter().filter_map(|task| task.session_cost_nanos).max().unwrap_or(0);
        Ok((Session::Stored(asked), Money::from_nanos(spent)))
    }

    /// A task as it is now.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.parts.keys.owner(caller);
        if let Some(live) = self.0.lives.get(&owner, id) {
            return Ok(live.task.borrow().clone());
        }
        self.0.parts.shelves.task(&owner, id).await?.ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// The caller's tasks, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Task>, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let stored = self.0.parts.shelves.all(Some(&owner)).await?;
        let now = |task: Task| match self.0.lives.get(&owner, &task.id) {
            Some(live) => live.task.borrow().clone(),
            None => task,
        };
        let mut tasks: Vec<Task> = stored.into_iter().map(|(_, task)| now(task)).collect();
        tasks.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(tasks)
    }

    /// Asks a task to stop; one that waits is called off. Returns the task as it is then: it may still be running.
    ///
    /// # Errors
    /// When the caller has none of this name, or it is over.
    pub async fn interrupt(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let task = self.get(caller, id).await?;
        let live = self.0.lives.get(&self.0.parts.keys.owner(caller), id).ok_or(Error::Over)?;
        live.tell(Command::Interrupt);
        Ok(task)
    }

    /// Takes a task away with all it has told. One that runs is stopped first.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let owner = self.0.parts.keys.owner(caller);
        if let Some(live) = self.0.lives.get(&owner, id) {
            live.tell(Command::Interrupt);
            live.over().await;
        }
        let task = self.get(caller, id).await?;
        self.0.parts.shelves.remove(&owner, &task).await?;
        Ok(())
    }

    /// Answers a question of a task.
    ///
    /// # Errors
    /// When the caller has none of this name, or it does not ask this.
    pub async fn answer(
        &self,
        caller: &Caller,
        id: &str,
        question: &str,
        answer: Answer,
    ) -> Result<(), Error> {
        let task = self.get(caller, id).await?;
        let live = self.0.lives.get(&self.0.parts.keys.owner(caller), id);
        match live.filter(|_| task.questions.iter().any(|asked| asked.id == question)) {
            Some(live) => live.tell(Command::Answer(question.to_owned(), answer)),
            None => return Err(Error::UnknownQuestion(question.to_owned())),
        }
        Ok(())
    }

    /// The events of a task from the one numbered `first` on.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn follow(&self, caller: &Caller, id: &str, first: u64) -> Result<Follower, Error> {
        let owner = self.0.parts.keys.owner(caller);
        let task = match self.0.lives.get(&owner, id) {
            Some(live) => live.task,
            None => watch::channel(self.get(caller, id).await?).1,
        };
        Ok(Follower { owner, task, shelves: self.0.parts.shelves.clone(), next: first })
    }
}
