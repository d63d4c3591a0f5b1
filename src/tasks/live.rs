//! Tasks that are not over yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::agent::Answer;
use super::task::Event;
use super::task::Status;
use super::task::Task;
use super::task::Told;
use crate::domain::unix_now;
use crate::store::Error;

use super::shelves::Shelves;

/// What a task that is not over can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// To stop.
    Interrupt,
    /// The answer to a question.
    Answer(String, Answer),
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
        let queued = lives.values().filter(|live| live.task.borrow().status == Status::Queued).count();
        (queued, lives.len() - queued)
    }

    /// Takes `task` in, unless there are `most` already or one works in its session.
    pub(super) fn admit(
        &self,
        owner: &str,
        task: Task,
        shelves: &Shelves,
        most: usize,
    ) -> Result<(Log, UnboundedReceiver<Command>, Place), Refusal> {
        let mut lives = self.lock();
        if lives.len() >= most {
            return Err(Refusal::Full);
        }
        if let Some(other) = lives.values().find_map(|live| live.if_in(&task.session_id)) {
            return Err(Refusal::SessionBusy(other));
        }
        let (commands, received) = mpsc::unbounded_channel();
        let key = (owner.to_owned(), task.id.clone());
        let (log, task) = Log::new(owner, task, shelves);
        lives.insert(key.clone(), Live { task, commands });
        Ok((log, received, Place { lives: self.clone(), key }))
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
        (Self { owner: owner.to_owned(), task: sender, shelves: shelves.clone() }, task)
    }

    pub(super) fn task(&self) -> Task {
        self.task.borrow().clone()
    }

    /// Changes the task, without telling.
    pub(super) fn change(&self, change: impl FnOnce(&mut Task)) {
        self.task.send_if_modified(|task| {
            change(task);
            false
        });
    }

    /// Writes the task down.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let task = self.task();
        self.shelves.save(&self.owner, &task).await
    }

    /// Tells `told`: it is on disk before anybody hears of it.
    pub(super) async fn tell(&self, told: Told) -> Result<(), Error> {
        let task = self.task();
        let event = Event { sequence_number: task.events, created_at: unix_now(), told };
        self.shelves.tell(&self.owner, &task.id, &event).await?;
        self.task.send_modify(|task| task.events += 1);
        Ok(())
    }

    /// Ends the task with its last word.
    pub(super) async fn end(&self, change: impl FnOnce(&mut Task)) -> Result<(), Error> {
        let mut task = self.task();
        change(&mut task);
        task.questions.clear();
        task.running_tools.clear();
        task.ended_at = Some(unix_now());
        let event = Event { sequence_number: task.events, created_at: unix_now(), told: task.last_word() };
        task.events += 1;
        let told = self.shelves.tell(&self.owner, &task.id, &event).await;
        let saved = self.shelves.save(&self.owner, &task).await;
        self.task.send_replace(task);
        told.and(saved)
    }
}
