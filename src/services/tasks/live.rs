//! Tasks that are not over yet.

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

use super::task::Event;
use super::task::Status;
use super::task::Task;
use super::task::Told;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::engine::agent::Answer;
use crate::storage::store::Error;

use super::shelves::Shelves;
use super::spec::Config;

/// How long to wait after the disk has failed.
const REPAIR: Duration = Duration::from_secs(1);

/// What a task that is not over can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// To stop.
    Interrupt,
    /// The answer to a question; tells whether it was still asked.
    Answer(String, Answer, oneshot::Sender<bool>),
}

/// A task that is not over, as others see it.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) task: watch::Receiver<Task>,
    commands: UnboundedSender<Command>,
}

/// A task that is not over, in the hands of whoever runs it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) owner: String,
    task: watch::Sender<Task>,
    shelves: Shelves,
}

/// The place of a task among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lives: Lives,
    key: (String, String),
}

/// Why a task is not taken in.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There are as many as may be.
    Full,
    /// So many are its owner's, and no more may be.
    TooMany(usize),
    /// This one works in its session.
    SessionBusy(String),
}

/// All of them, by owner and id.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives(Arc<Mutex<HashMap<(String, String), Live>>>);

impl Lives {
    pub(super) fn get(&self, owner: &str, id: &str) -> Option<Live> {
        self.lock().get(&(owner.to_owned(), id.to_owned())).cloned()
    }

    /// How many wait for their turn, and how many run.
    pub(super) fn counts(&self) -> (usize, usize) {
        let lives = self.lock();
        let queued = lives
            .values()
            .filter(|live| live.task.borrow().status == Status::Queued)
            .count();
        (queued, lives.len() - queued)
    }

    /// Takes `task` in, unless there are as many as `config` allows, of all or of its owner, or one works in its session.
    pub(super) fn admit(
        &self,
        owner: &str,
        task: Task,
        shelves: &Shelves,
        config: &Config,
    ) -> Result<(Log, UnboundedReceiver<Command>, Place), Refusal> {
        let mut lives = self.lock();
        if lives.len() >= config.max_running + config.queue_length {
            return Err(Refusal::Full);
        }
        if lives.keys().filter(|(other, _)| other == owner).count() >= config.max_per_key {
            return Err(Refusal::TooMany(config.max_per_key));
        }
        if let Some(other) = lives.values().find_map(|live| live.if_in(&task.session_id)) {
            return Err(Refusal::SessionBusy(other));
        }
        let (commands, received) = mpsc::unbounded_channel();
        let key = (owner.to_owned(), task.id.clone());
        let (log, task) = Log::new(owner, task, shelves);
        lives.insert(key.clone(), Live { task, commands });
        Ok((
            log,
            received,
            Place {
                lives: self.clone(),
                key,
            },
        ))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lives.lock().remove(&self.key);
    }
}

impl Live {
    /// The task's id, if it works in `session`.
    fn if_in(&self, session: &str) -> Option<String> {
        let task = self.task.borrow();
        (task.session_id == session).then(|| task.id.clone())
    }

    pub(super) fn tell(&self, command: Command) {
        // One that is just over has no use for it.
        let _ = self.commands.send(command);
    }

    /// Waits until it is over.
    pub(super) async fn over(mut self) {
        let _ = self.task.wait_for(|task| task.status.is_over()).await;
    }
}

impl Log {
    /// The log of a task, and the task as others see it.
    pub(super) fn new(owner: &str, task: Task, shelves: &Shelves) -> (Self, watch::Receiver<Task>) {
        let (sender, task) = watch::channel(task);
        (
            Self {
                owner: owner.to_owned(),
                task: sender,
                shelves: shelves.clone(),
            },
            task,
        )
    }

    pub(super) fn task(&self) -> Task {
        self.task.borrow().clone()
    }

    /// What `read` says of the task, which is not copied for it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Task) -> T) -> T {
        read(&self.task.borrow())
    }

    /// Changes the task, without telling.
    pub(super) fn change(&self, change: impl FnOnce(&mut Task)) {
        self.task.send_if_modified(|task| {
            change(task);
            false
        });
    }

    /// Writes the new task down, so that it is found.
    pub(super) async fn add(&self) -> Result<(), Error> {
        let task = self.task();
        self.shelves.add(&self.owner, &task).await
    }

    /// Writes down how far the task is.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let task = self.task();
        self.shelves.save(&self.owner, &task).await
    }

    /// Tells `told`: it is on disk before anybody hears of it.
    pub(super) async fn tell(&self, told: Told) -> Result<(), Error> {
        let (id, sequence_number) = self.read(|task| (task.id.clone(), task.events));
        let event = Event {
            sequence_number,
            created_at: unix_now(),
            told,
        };
        self.shelves.tell(&self.owner, &id, &event).await?;
        self.task.send_modify(|task| task.events += 1);
        Ok(())
    }

    /// Ends the task with its last word, and notes what its session has cost, if that is known. Where the disk fails it is
    /// tried again, until `kill`.
    pub(super) async fn end(
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
        let event = task.last_event();
        while let Err(error) = self.write_end(&task, &event, session_cost).await {
            note(&task.id, &error);
            if kill.run_until_cancelled(sleep(REPAIR)).await.is_none() {
                break;
            }
        }
        self.task.send_replace(task);
    }

    async fn write_end(
        &self,
        task: &Task,
        event: &Event,
        session_cost: Option<Money>,
    ) -> Result<(), Error> {
        if task.turns > 0 {
            self.shelves
                .note_session(&self.owner, &task.session_id, session_cost)
                .await?;
        }
        self.shelves.tell(&self.owner, &task.id, event).await?;
        self.shelves.save(&self.owner, task).await
    }
}

fn note(id: &str, error: &Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(task = id, error, "the end of a task is not on disk yet");
}
