//! Registry of the queued and running tasks, and the recorder of their state.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::task::Task;
use super::task::TaskEvent;
use super::task::TaskEventKind;
use super::task::TaskStatus;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::engine::agent::PermissionDecision;
use crate::storage::store::Error;

use super::spec::Config;
use super::task_store::TaskStore;

/// Delay between attempts to store the end of a task.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Command to a queued or running task.
#[derive(Debug)]
pub(super) enum TaskCommand {
    Interrupt,
    /// Answer to the permission request with this id. The sender reports whether the request was
    /// still open.
    Answer(String, PermissionDecision, oneshot::Sender<bool>),
}

/// Handle to a queued or running task, for requests about it.
#[derive(Debug, Clone)]
pub(super) struct TaskHandle {
    pub(super) task: watch::Receiver<Task>,
    commands: UnboundedSender<TaskCommand>,
}

/// Records the state and events of a task. Owned by the run of the task, the only writer.
#[derive(Debug)]
pub(super) struct TaskRecorder {
    pub(super) owner: String,
    task: watch::Sender<Task>,
    store: TaskStore,
}

/// Entry of a task in the registry, removed when dropped.
#[derive(Debug)]
pub(super) struct ActiveTaskGuard {
    active: ActiveTasks,
    key: (String, String),
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
}

/// Registry of queued and running tasks, by owner and id.
#[derive(Debug, Clone, Default)]
pub(super) struct ActiveTasks(Arc<Mutex<HashMap<(String, String), TaskHandle>>>);

impl ActiveTasks {
    pub(super) fn get(&self, owner: &str, id: &str) -> Option<TaskHandle> {
        self.lock().get(&(owner.to_owned(), id.to_owned())).cloned()
    }

    /// Returns the numbers of queued and running tasks.
    pub(super) fn counts(&self) -> (usize, usize) {
        let lives = self.lock();
        let queued = lives
            .values()
            .filter(|live| live.task.borrow().status == TaskStatus::Queued)
            .count();
        (queued, lives.len() - queued)
    }

    /// Admits `task` to the registry.
    ///
    /// # Errors
    /// Fails when the queue is full, the owner has its maximum number of tasks, or another task
    /// uses the same session.
    pub(super) fn admit(
        &self,
        owner: &str,
        task: Task,
        shelves: &TaskStore,
        config: &Config,
    ) -> Result<
        (
            TaskRecorder,
            UnboundedReceiver<TaskCommand>,
            ActiveTaskGuard,
        ),
        TaskAdmitError,
    > {
        // One lock for all checks and the insert: concurrent requests cannot exceed a limit or
        // share a session.
        let mut lives = self.lock();
        if lives.len() >= config.max_running + config.queue_length {
            return Err(TaskAdmitError::QueueFull);
        }
        if lives.keys().filter(|(other, _)| other == owner).count() >= config.max_per_key {
            return Err(TaskAdmitError::TooManyForOwner(config.max_per_key));
        }
        if let Some(other) = lives
            .values()
            .find_map(|live| live.id_if_in_session(&task.session_id))
        {
            return Err(TaskAdmitError::SessionBusy(other));
        }
        let (commands, received) = mpsc::unbounded_channel();
        let key = (owner.to_owned(), task.id.clone());
        let (log, task) = TaskRecorder::new(owner, task, shelves);
        lives.insert(key.clone(), TaskHandle { task, commands });
        Ok((
            log,
            received,
            ActiveTaskGuard {
                active: self.clone(),
                key,
            },
        ))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), TaskHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveTaskGuard {
    fn drop(&mut self) {
        self.active.lock().remove(&self.key);
    }
}

impl TaskHandle {
    /// Returns the id of the task if it works in `session`.
    fn id_if_in_session(&self, session: &str) -> Option<String> {
        let task = self.task.borrow();
        (task.session_id == session).then(|| task.id.clone())
    }

    pub(super) fn send_command(&self, command: TaskCommand) {
        // Fails only for a task that has just ended, which needs no command.
        let _ = self.commands.send(command);
    }

    /// Waits until the task has ended.
    pub(super) async fn wait_until_over(mut self) {
        let _ = self.task.wait_for(|task| task.status.is_over()).await;
    }
}

impl TaskRecorder {
    /// Creates the recorder of a task, and a view of its state for readers.
    pub(super) fn new(
        owner: &str,
        task: Task,
        shelves: &TaskStore,
    ) -> (Self, watch::Receiver<Task>) {
        let (sender, task) = watch::channel(task);
        (
            Self {
                owner: owner.to_owned(),
                task: sender,
                store: shelves.clone(),
            },
            task,
        )
    }

    pub(super) fn task(&self) -> Task {
        self.task.borrow().clone()
    }

    /// Reads the task without cloning it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Task) -> T) -> T {
        read(&self.task.borrow())
    }

    /// Changes the task in memory. Readers see the change but are not woken.
    pub(super) fn change(&self, change: impl FnOnce(&mut Task)) {
        self.task.send_if_modified(|task| {
            change(task);
            false
        });
    }

    /// Stores a new task.
    pub(super) async fn add(&self) -> Result<(), Error> {
        let task = self.task();
        self.store.add(&self.owner, &task).await
    }

    /// Stores the current state of the task.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let task = self.task();
        self.store.save(&self.owner, &task).await
    }

    /// Stores an event, then wakes the readers.
    pub(super) async fn record_event(&self, told: TaskEventKind) -> Result<(), Error> {
        let (id, sequence_number) = self.read(|task| (task.id.clone(), task.events));
        let event = TaskEvent {
            sequence_number,
            created_at: unix_now(),
            told,
        };
        // Write-ahead: readers learn of an event from the counter, which changes after the event is
        // on disk.
        self.store.add_event(&self.owner, &id, &event).await?;
        self.task.send_modify(|task| task.events += 1);
        Ok(())
    }

    /// Ends the task with its final event and stores the cost of its session, if known. Retries
    /// until the store works again, or until `kill`.
    pub(super) async fn record_end(
        &self,
        change: impl FnOnce(&mut Task),
        session_cost: Option<Money>,
        kill: &CancellationToken,
    ) {
        let mut task = self.task();
        change(&mut task);
        task.questions.clear();
        task.running_tools.clear();
        task.ended_at = Some(unix_now());
        task.events += 1;
        let event = task.final_event();
        while let Err(error) = self.write_end(&task, &event, session_cost).await {
            log_store_failure(&task.id, &error);
            if kill
                .run_until_cancelled(sleep(STORE_RETRY_DELAY))
                .await
                .is_none()
            {
                break;
            }
        }
        // Readers see the end only now, when it is on disk or the server is being killed.
        self.task.send_replace(task);
    }

    async fn write_end(
        &self,
        task: &Task,
        event: &TaskEvent,
        session_cost: Option<Money>,
    ) -> Result<(), Error> {
        if task.turns > 0 {
            self.store
                .save_session_cost(&self.owner, &task.session_id, session_cost)
                .await?;
        }
        self.store.add_event(&self.owner, &task.id, event).await?;
        self.store.save(&self.owner, task).await
    }
}

fn log_store_failure(id: &str, error: &Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(task.id = id, error, "task end not stored yet");
}
