//! Queue of tasks that wait for a server with room, where several share the store and the folders.
//!
//! 1. A server whose places are all taken stores the task as `queued`. No hold is kept for it, and no agent
//!    has begun.
//! 2. Each server with a free place looks for such tasks each second, and when one of its own has ended. It
//!    takes one by the transaction that makes it its own, so that one server runs it.
//! 3. It holds the cost, notes in another transaction that the task begins, if it is still its own, and
//!    starts the agent. A server that stops or dies before that note leaves the task to the queue.
//!
//! A task below another one, one that continues a session, and one that passes hooks are run by the server
//! that took the request: it has the share of the family, the transcript or the notes of the hooks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::active::TaskRecorder;
use super::error::Error;
use super::outcome::TaskOutcome;
use super::outcome::TaskStopReason;
use super::prior_session_cost::PriorSessionCost;
use super::run::TaskRun;
use super::service::TaskDeps;
use super::service::Tasks;
use super::service::TasksInner;
use super::spec::TaskBounds;
use super::task::Task;
use super::task::TaskStatus;
use super::task_trace::TaskTrace;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger;
use crate::accounts::ledger::WaitingWork;
use crate::accounts::ledger::WorkKind;
use crate::domain::Caller;
use crate::domain::ClaimGuard;
use crate::domain::unix_now;
use crate::engine::agent::AgentSession;
use crate::engine::hooks::TurnHooks;
use crate::runtime::backoff::with_jitter;
use crate::runtime::fair_queue::Tenant;
use crate::storage::store;
use crate::storage::store::skip_unreadable;
use crate::telemetry::logs::ErrorChain;

/// Time between two looks into the queue, without the jitter.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Delay between attempts to put a task back into the queue.
const RETURN_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Result of an attempt to run a task of the queue.
enum TaskTakeResult {
    /// This server runs it.
    Begun,
    /// Another server was first, it is gone, or another one has to run it.
    NotRun,
    /// No task of its owner can be run here now.
    OwnerWaits,
}

/// Caller of a task that waits, by its key as it is now.
enum WaitingTaskCaller {
    /// The key is valid.
    Valid(Box<Caller>),
    /// The key was revoked, has expired, or may have no tasks any more.
    Revoked,
    /// This server does not know the key, or cannot read the keys.
    Unknown,
}

impl Tasks {
    /// Starts to run tasks of the queue while there is room, until the shutdown. Does nothing if this
    /// server shares its store or its folders with no other, or has no agents.
    pub fn spawn_queue(&self) {
        let TaskDeps {
            runner,
            store,
            config,
            tracker,
            stop,
            ..
        } = &self.0.deps;
        if !store.owners.is_shared() || !config.shared_workspaces || runner.is_none() {
            return;
        }
        let this = self.clone();
        let stop = stop.clone();
        tracker.spawn(async move {
            let mut has_failed = false;
            // Only the wait is cancelled: a task that was taken has to be run or given back.
            while stop
                .run_until_cancelled(this.0.wait_for_queue())
                .await
                .is_some()
            {
                let taken = this.take_waiting().await;
                if let Err(error) = &taken
                    && !has_failed
                {
                    tracing::warn!(error = %ErrorChain(error), "queued tasks not taken");
                }
                has_failed = taken.is_err();
            }
        });
    }

    /// Starts the tasks of the queue that this server has room for, and returns their number.
    ///
    /// # Errors
    /// Fails when the store fails, after those that it did not fail for.
    pub async fn take_waiting(&self) -> Result<usize, Error> {
        let TaskDeps { store, metrics, .. } = &self.0.deps;
        let waiting = store.owners.list_waiting(WorkKind::Task).await?;
        let mut taken = 0;
        let mut failed = None;
        let mut waiting_owners = HashSet::new();
        for work in &waiting {
            if !self.0.has_room() {
                break;
            }
            if waiting_owners.contains(work.owner.as_str()) {
                continue;
            }
            match self.take(work).await {
                Ok(TaskTakeResult::Begun) => {
                    metrics.count_taken(work.is_own);
                    taken += 1;
                }
                Ok(TaskTakeResult::NotRun) => {}
                Ok(TaskTakeResult::OwnerWaits) => {
                    waiting_owners.insert(work.owner.as_str());
                }
                // A record that cannot be read does not delay the others.
                Err(error) => failed = Some(error),
            }
        }
        metrics.set_waiting(waiting.len() - taken);
        failed.map_or(Ok(taken), Err)
    }

    /// Runs the task of `work`, if it can be run here.
    async fn take(&self, work: &WaitingWork) -> Result<TaskTakeResult, Error> {
        let TaskDeps { store, config, .. } = &self.0.deps;
        let (owner, id) = (work.owner.as_str(), work.id.as_str());
        // One that this server has stored a moment ago is registered until its client is told.
        if self.0.active.get(owner, id).is_some() {
            return Ok(TaskTakeResult::NotRun);
        }
        if self.0.count_active_of(owner) >= config.max_per_key {
            return Ok(TaskTakeResult::OwnerWaits);
        }
        let task = match skip_unreadable(store.load_task(owner, id).await)? {
            Some(Some(task)) => task,
            // It was deleted, or has expired.
            Some(None) => {
                store.cancel_waiting(owner, id).await?;
                return Ok(TaskTakeResult::NotRun);
            }
            // A later version of the server has queued it, and can run it.
            None => return Ok(TaskTakeResult::NotRun),
        };
        // The server that queued it has seen the folder; elsewhere it may not be mounted yet.
        if config.roots.resolve(&task.workspace).as_ref() != Ok(&task.workspace) && !work.is_own {
            return Ok(TaskTakeResult::NotRun);
        }
        let caller = match self.0.caller_of_waiting(&task, owner).await {
            WaitingTaskCaller::Valid(caller) => Some(*caller),
            WaitingTaskCaller::Revoked => None,
            WaitingTaskCaller::Unknown => return Ok(TaskTakeResult::OwnerWaits),
        };
        self.begin(work, task, caller).await
    }

    /// Makes the task of `work` this server's, and starts its run; it ends at once without a `caller`.
    async fn begin(
        &self,
        work: &WaitingWork,
        task: Task,
        caller: Option<Caller>,
    ) -> Result<TaskTakeResult, Error> {
        let TaskDeps {
            store,
            tracer,
            tracker,
            ..
        } = &self.0.deps;
        // Registered before it is taken: a task that is given back below must not be taken here meanwhile,
        // or it would be given to another server while it runs.
        let Some(mut run) = self.0.run_of_waiting(&work.owner, &task) else {
            return Ok(TaskTakeResult::NotRun);
        };
        match store.take_queued(work).await {
            Ok(true) => {}
            Ok(false) => return Ok(TaskTakeResult::NotRun),
            Err(error) => {
                // The change may be made nevertheless, and its answer lost: no server would run it then.
                tracker.spawn(run.return_to_queue());
                return Err(error.into());
            }
        }
        if let Some(caller) = &caller {
            let trace = TaskTrace::begin_waiting(tracer, caller, &task);
            run.recorder.record_by(trace);
        }
        tracing::info!(task.id = work.id, is_own = work.is_own, "queued task taken");
        tracker.spawn(run.hold_and_run_waiting(caller));
        Ok(TaskTakeResult::Begun)
    }
}

impl TasksInner {
    /// True if any server may run the new task of `bounds` while it waits.
    pub(super) fn is_shareable(&self, bounds: &TaskBounds, hooks: Option<&TurnHooks>) -> bool {
        let TaskDeps { store, config, .. } = &self.deps;
        store.owners.is_shared()
            && config.shared_workspaces
            && bounds.lineage.is_none()
            && matches!(bounds.session, AgentSession::New(_))
            && hooks.is_none()
    }

    /// True if a place is free for one of the registered tasks, the last of which is new.
    pub(super) fn has_room_for_registered(&self) -> bool {
        self.active.read(|runs| runs.len()) <= self.deps.config.max_running
    }

    fn has_room(&self) -> bool {
        let TaskDeps { config, stop, .. } = &self.deps;
        !stop.is_cancelled() && self.active.read(|runs| runs.len()) < config.max_running
    }

    /// Returns the number of tasks of `owner` that wait or run here.
    fn count_active_of(&self, owner: &str) -> usize {
        let is_of_owner = |(other, _): &&(String, String)| other == owner;
        self.active
            .read(|runs| runs.keys().filter(is_of_owner).count())
    }

    /// Waits until the queue is due to be looked into. Cancellation-safe.
    async fn wait_for_queue(&self) {
        tokio::select! {
            () = sleep(with_jitter(POLL_INTERVAL)) => {}
            () = self.queue_changed.notified() => {}
        }
    }

    /// Checks that the queue has a place for one more task of `owner`, which is registered here.
    async fn check_queue_room(&self, owner: &str) -> Result<(), Error> {
        let TaskDeps { store, config, .. } = &self.deps;
        let waiting = store.owners.list_waiting(WorkKind::Task).await?;
        if waiting.len() >= config.queue_length {
            return Err(Error::QueueFull);
        }
        let waiting_of_owner = waiting.iter().filter(|work| work.owner == owner).count();
        if waiting_of_owner + self.count_active_of(owner) > config.max_per_key {
            return Err(Error::TooManyForKey(config.max_per_key));
        }
        Ok(())
    }

    /// Authenticates the key of the waiting `task` of `owner` again.
    async fn caller_of_waiting(&self, task: &Task, owner: &str) -> WaitingTaskCaller {
        let keys = &self.deps.keys;
        if let Err(error) = keys.refresh().await {
            tracing::warn!(
                task.id = task.id,
                error = %ErrorChain(&error),
                "queued task waits for the keys"
            );
            return WaitingTaskCaller::Unknown;
        }
        match (
            keys.caller_of_owner(owner, Some(Permission::Tasks)),
            &task.shared,
        ) {
            (Ok(caller), Some(origin)) => {
                WaitingTaskCaller::Valid(Box::new(origin.caller_of_run(caller)))
            }
            // A key of another server's configuration, which has to run it.
            (Ok(_), None) | (Err(AuthError::Missing | AuthError::Wrong), _) => {
                WaitingTaskCaller::Unknown
            }
            (Err(_), _) => WaitingTaskCaller::Revoked,
        }
    }

    /// Registers `task`, which waits in the queue, and builds its run. Returns `None` for one that is
    /// registered here already.
    fn run_of_waiting(self: &Arc<Self>, owner: &str, task: &Task) -> Option<TaskRun> {
        let TaskDeps { runner, store, .. } = &self.deps;
        let session = task.session_id.parse().ok()?;
        let runner = Arc::clone(runner.as_ref()?);
        let (recorder, answers) =
            TaskRecorder::take_over(&self.active, owner, task.clone(), store)?;
        Some(TaskRun {
            inner: Arc::clone(self),
            runner,
            recorder,
            answers,
            timeout: Duration::from_secs(task.timeout_seconds),
            session: AgentSession::New(session),
            wanted_budget: Some(task.max_budget()),
            is_handover: false,
            prior_cost: PriorSessionCost::ZERO,
            conversation_tokens: 0,
            hooks: None,
        })
    }

    /// Removes the new `task` from the queue, whose client was told that it is not created. Repeated until
    /// it succeeds or the shutdown may wait no longer.
    pub(super) async fn forget_queued(&self, owner: &str, task: &Task) {
        let TaskDeps { store, kill, .. } = &self.deps;
        while let Err(error) = store.remove_waiting(owner, task).await {
            tracing::warn!(
                task.id = task.id,
                error = %ErrorChain(&error),
                "task that was not created may wait"
            );
            let next = kill.run_until_cancelled(sleep(RETURN_RETRY_DELAY)).await;
            if next.is_none() {
                return;
            }
        }
    }

    /// Puts `task`, which has not begun, back into the queue, unless it is not this server's. Repeated
    /// until it succeeds or the shutdown may wait no longer; its note is left then, by which another
    /// server finds it.
    async fn return_to_queue(&self, owner: &str, task: &Task) {
        let TaskDeps { store, kill, .. } = &self.deps;
        let mut has_failed = false;
        while let Err(error) = store.return_to_queue(owner, task).await {
            if !has_failed {
                has_failed = true;
                tracing::error!(
                    task.id = task.id,
                    error = %ErrorChain(&error),
                    "task not left to other servers"
                );
            }
            let next = kill.run_until_cancelled(sleep(RETURN_RETRY_DELAY)).await;
            if next.is_none() {
                return;
            }
        }
        tracing::info!(task.id = task.id, "task left to other servers");
    }
}

impl TaskRun {
    /// True if any server may run the task while it waits.
    pub(super) fn is_shared(&self) -> bool {
        self.recorder.read(|task| task.shared.is_some())
    }

    /// Leaves the new task to the servers that have room, and reports the result through `sender`.
    pub(super) async fn leave_in_queue(
        self,
        caller: Caller,
        claimed: ClaimGuard,
        sender: oneshot::Sender<Result<Task, Error>>,
    ) {
        let left = self.check_and_enqueue(&caller).await;
        let Self {
            inner, recorder, ..
        } = self;
        let task = recorder.task();
        let owner = recorder.owner().to_owned();
        let is_cancelled = recorder.is_cancelled();
        // It takes no place here any more.
        drop(recorder);
        // The client may have disconnected, so a failed send is ignored.
        if let Err(error) = left {
            drop(claimed);
            let _ = sender.send(Err(error));
            return;
        }
        claimed.charge();
        inner.notify_hooks("task.created", &task);
        if is_cancelled && let Err(error) = inner.cancel_waiting(&owner, &task).await {
            tracing::warn!(task.id = task.id, error = %ErrorChain(&error), "task not cancelled");
        }
        let _ = sender.send(Ok(task));
        // A place may have become free meanwhile.
        inner.queue_changed.notify_one();
    }

    /// Stores the new task in the queue, if that and the budgets have room for it.
    async fn check_and_enqueue(&self, caller: &Caller) -> Result<(), Error> {
        let owner = self.recorder.owner();
        self.inner.check_queue_room(owner).await?;
        // A client is told at once that a budget has no room. The server that runs the task holds it again.
        let hold = self.hold_cost(caller).await?;
        hold.release().await?;
        let TaskDeps { store, tracker, .. } = &self.inner.deps;
        let task = self.recorder.task();
        let enqueued = store.enqueue(owner, &task).await;
        if let Err(error) = enqueued {
            // It may wait nevertheless, and its client sends it again.
            let (inner, owner) = (Arc::clone(&self.inner), owner.to_owned());
            tracker.spawn(async move { inner.forget_queued(&owner, &task).await });
            return Err(error.into());
        }
        Ok(())
    }

    /// Holds the maximum cost of the task, which was taken from the queue, and runs it. Without a
    /// `caller`, whose key is not valid any more, it fails.
    async fn hold_and_run_waiting(self, caller: Option<Caller>) {
        let Some(caller) = caller else {
            return self.fail_waiting(TaskStopReason::KeyRevoked).await;
        };
        let tenant = Tenant::new(self.recorder.owner(), caller.weight());
        match self.hold_cost(&caller).await {
            Ok(hold) => self.run_to_end(hold, &tenant).await,
            Err(ledger::Error::BudgetExceeded(over)) => {
                tracing::info!(error = %over, "queued task not run, budget exceeded");
                self.fail_waiting(TaskStopReason::OverBudget).await;
            }
            // The store fails, or the hold of a lost server is not released yet.
            Err(error) => {
                let id = self.recorder.read(|task| task.id.clone());
                tracing::warn!(task.id = id, error = %ErrorChain(&error), "queued task not held");
                self.return_to_queue().await;
            }
        }
    }

    /// Ends the task, whose agent has not begun.
    async fn fail_waiting(self, why: TaskStopReason) {
        let end = TaskOutcome::Killed { why, usage: None };
        self.finish(end, None).await;
    }

    /// Stores that the task begins now, if any server may run it and it is still this one's. Returns false
    /// if another server has taken it over.
    pub(super) async fn begin_shared(&self) -> Result<bool, store::Error> {
        if !self.is_shared() {
            return Ok(true);
        }
        let begun = Task {
            status: TaskStatus::Running,
            started_at: Some(unix_now()),
            ..self.recorder.task()
        };
        let store = &self.inner.deps.store;
        store.begin_shared(self.recorder.owner(), &begun).await
    }

    /// Puts the task, whose agent has not begun, back into the queue.
    pub(super) async fn return_to_queue(self) {
        let (owner, task) = (self.recorder.owner(), self.recorder.task());
        self.inner.return_to_queue(owner, &task).await;
    }
}
