//! Registry of the queued and running tasks, and the recorder of their state.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::task::Task;
use super::task::TaskStatus;
use super::task_event::TaskEvent;
use super::task_event::TaskEventKind;
use crate::accounts::ledger::WorkKind;
use crate::domain::Money;
use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentSession;
use crate::engine::agent::PermissionDecision;
use crate::runtime::run_registry::RunGuard;
use crate::runtime::run_registry::RunHandle;
use crate::runtime::run_registry::RunIdInUse;
use crate::runtime::run_registry::RunMap;
use crate::runtime::run_registry::RunRegistry;
use crate::storage::store::Error;
use crate::telemetry::logs::ErrorChain;

use super::config::Config;
use super::task_store::TaskStore;
use super::task_trace::TaskTrace;

/// Delay between attempts to store the end of a task.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Answer to an open permission request of a task.
#[derive(Debug)]
pub(super) struct PermissionAnswer {
    /// Id of the permission request.
    pub(super) question: String,
    pub(super) decision: PermissionDecision,
    /// Receives whether the request was still open.
    pub(super) accepted: oneshot::Sender<bool>,
}

/// Registry of queued and running tasks.
pub(super) type ActiveTasks = RunRegistry<Task, PermissionInbox>;
type PermissionInbox = UnboundedSender<PermissionAnswer>;

/// Records the state and events of a task. Owned by the run of the task, the only writer. The task
/// is registered as active until it is dropped.
#[derive(Debug)]
pub(super) struct TaskRecorder {
    registration: RunGuard<Task, PermissionInbox>,
    store: TaskStore,
    trace: TaskTrace,
}

/// Reason why a task was not admitted.
#[derive(Debug)]
pub(super) enum TaskAdmitError {
    /// The task queue is full.
    QueueFull,
    /// The owner has reached its maximum number of tasks, which is given.
    TooManyForOwner(usize),
    /// The task with this id is running in the same session.
    SessionBusy(String),
    /// An active task of the owner has the same id.
    IdInUse,
}

impl From<RunIdInUse> for TaskAdmitError {
    fn from(_: RunIdInUse) -> Self {
        Self::IdInUse
    }
}

/// Numbers of active tasks by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TaskCounts {
    pub(super) queued: usize,
    /// Running tasks without an open permission request.
    pub(super) running: usize,
    /// Running tasks with an open permission request.
    pub(super) asking: usize,
}

impl TaskCounts {
    /// Counts the tasks of `active`.
    pub(super) fn of(active: &ActiveTasks) -> Self {
        active.read(|runs| {
            let mut counts = Self::default();
            for run in runs.values() {
                let task = run.state();
                let count = match task.status {
                    TaskStatus::Queued => &mut counts.queued,
                    _ if task.questions.is_empty() => &mut counts.running,
                    _ => &mut counts.asking,
                };
                *count += 1;
            }
            counts
        })
    }
}

/// Checks that a task of `owner` in `session` may be admitted beside the active ones.
fn check_room(
    runs: &RunMap<Task, PermissionInbox>,
    owner: &str,
    session: &str,
    config: &Config,
) -> Result<(), TaskAdmitError> {
    if runs.len() >= config.max_running + config.queue_length {
        return Err(TaskAdmitError::QueueFull);
    }
    if runs.keys().filter(|(other, _)| other == owner).count() >= config.max_per_key {
        return Err(TaskAdmitError::TooManyForOwner(config.max_per_key));
    }
    let id_if_in_session = |run: &RunHandle<Task, PermissionInbox>| {
        let task = run.state();
        (task.session_id == session).then(|| task.id.clone())
    };
    match runs.values().find_map(id_if_in_session) {
        Some(other) => Err(TaskAdmitError::SessionBusy(other)),
        None => Ok(()),
    }
}

impl TaskRecorder {
    /// Registers `task` as active. Returns its recorder, and the answers to its permission
    /// requests.
    ///
    /// # Errors
    /// Fails when the queue is full, the owner has its maximum number of tasks, or another task
    /// uses the same session.
    pub(super) fn admit(
        active: &ActiveTasks,
        owner: &str,
        task: Task,
        store: &TaskStore,
        config: &Config,
    ) -> Result<(Self, UnboundedReceiver<PermissionAnswer>), TaskAdmitError> {
        let session = task.session_id.clone();
        Self::register(active, owner, task, store, |runs| {
            check_room(runs, owner, &session, config)
        })
    }

    /// Registers `task`, which an earlier process left unfinished, whatever the limits are. Returns
    /// `None` for a task of this process.
    pub(super) fn recover(
        active: &ActiveTasks,
        owner: &str,
        task: Task,
        store: &TaskStore,
    ) -> Option<Self> {
        Self::take_over(active, owner, task, store).map(|(recorder, _)| recorder)
    }

    /// Registers `task`, which was taken from the queue of all servers, whatever the limits are. Returns
    /// `None` if a task with its id is registered.
    pub(super) fn take_over(
        active: &ActiveTasks,
        owner: &str,
        task: Task,
        store: &TaskStore,
    ) -> Option<(Self, UnboundedReceiver<PermissionAnswer>)> {
        let admit = |_: &RunMap<Task, PermissionInbox>| Ok::<_, RunIdInUse>(());
        Self::register(active, owner, task, store, admit).ok()
    }

    fn register<E: From<RunIdInUse>>(
        active: &ActiveTasks,
        owner: &str,
        task: Task,
        store: &TaskStore,
        admit: impl FnOnce(&RunMap<Task, PermissionInbox>) -> Result<(), E>,
    ) -> Result<(Self, UnboundedReceiver<PermissionAnswer>), E> {
        let (inbox, answers) = mpsc::unbounded_channel();
        let id = task.id.clone();
        let recorder = Self {
            registration: active.register_if(owner, &id, task, inbox, admit)?,
            store: store.clone(),
            trace: TaskTrace::default(),
        };
        Ok((recorder, answers))
    }

    /// Records the task in `trace` from now on.
    pub(super) fn record_by(&mut self, trace: TaskTrace) {
        self.trace = trace;
    }

    /// Returns the agent job of the task, with the trace that the agent continues.
    pub(super) fn agent_job(&self, session: AgentSession, max_output_tokens: u32) -> AgentJob {
        let job = self.read(|task| task.agent_job(session, max_output_tokens));
        AgentJob {
            trace: self.trace.context(),
            ..job
        }
    }

    pub(super) fn owner(&self) -> &str {
        self.registration.owner()
    }

    /// Waits until the task is to end early.
    pub(super) async fn cancelled(&self) {
        self.registration.cancel_token().cancelled().await;
    }

    /// True if the task is to end early.
    pub(super) fn is_cancelled(&self) -> bool {
        self.registration.cancel_token().is_cancelled()
    }

    pub(super) fn task(&self) -> Task {
        self.registration.state().borrow().clone()
    }

    /// Reads the task without cloning it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Task) -> T) -> T {
        read(&self.registration.state().borrow())
    }

    /// Changes the task in memory. Readers see the change but are not woken.
    pub(super) fn change(&self, change: impl FnOnce(&mut Task)) {
        self.registration.state().send_if_modified(|task| {
            change(task);
            false
        });
    }

    /// Stores a new task, which continues the work of its parent if `is_handover` is set.
    pub(super) async fn add(&self, is_handover: bool) -> Result<(), Error> {
        let task = self.task();
        self.store.add(self.owner(), &task, is_handover).await
    }

    /// Stores the current state of the task.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let task = self.task();
        self.store.save(self.owner(), &task).await
    }

    /// Stores an event, then wakes the readers.
    pub(super) async fn record_event(&self, kind: TaskEventKind) -> Result<(), Error> {
        self.trace.record_event(&kind);
        let (id, sequence_number) = self.read(|task| (task.id.clone(), task.events));
        let event = TaskEvent::new(sequence_number, kind);
        // Write-ahead: readers learn of an event from the counter, which changes after the event is
        // on disk.
        self.store.add_event(self.owner(), &id, &event).await?;
        self.registration
            .state()
            .send_modify(|task| task.events += 1);
        Ok(())
    }

    /// Ends the task with its final event and stores the cost of its session, if known. Retries
    /// until the store works again, or until `kill`. Logs the first failure only.
    pub(super) async fn record_end(
        &self,
        change: impl FnOnce(&mut Task),
        session_cost: Option<Money>,
        kill: &CancellationToken,
    ) {
        let mut task = self.task();
        change(&mut task);
        task.questions.clear();
        task.asked_at.clear();
        task.running_tools.clear();
        let event = TaskEvent::new(task.events, task.final_event_kind());
        task.ended_at = Some(event.created_at);
        task.events += 1;
        let mut has_failed = false;
        while let Err(error) = self.write_end(&task, &event, session_cost).await {
            // A disk may stay full for hours, with an attempt each second.
            if !has_failed {
                has_failed = true;
                log_store_failure(&task.id, &error);
            }
            if kill
                .run_until_cancelled(sleep(STORE_RETRY_DELAY))
                .await
                .is_none()
            {
                break;
            }
        }
        self.trace.end(&task);
        // Readers see the end only now, when it is on disk or the server is being killed.
        self.registration.state().send_replace(task);
    }

    async fn write_end(
        &self,
        task: &Task,
        event: &TaskEvent,
        session_cost: Option<Money>,
    ) -> Result<(), Error> {
        if task.turns > 0 {
            self.store
                .save_session_cost(self.owner(), &task.session_id, session_cost)
                .await?;
        }
        self.store.add_event(self.owner(), &task.id, event).await?;
        self.store.save_end(self.owner(), task).await?;
        let owners = &self.store.owners;
        owners.end(WorkKind::Task, self.owner(), &task.id).await
    }
}

fn log_store_failure(id: &str, error: &Error) {
    tracing::error!(task.id = id, error = %ErrorChain(error), "task end not stored");
}
