//! Tasks that are not over yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::agent::Answer;
use super::task::Event;
use super::task::Task;
use super::task::Told;
use super::task::now;
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

/// All of them, by owner and id.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives(Arc<Mutex<HashMap<(String, String), Live>>>);

impl Lives {
    pub(super) fn get(&self, owner: &str, id: &str) -> Option<Live> {
        self.lock().get(&(owner.to_owned(), id.to_owned())).cloned()
    }

    /// The task that works in a session.
    pub(super) fn in_session(&self, session: &str) -> Option<String> {
        self.lock().values().find_map(|live| {
            let task = live.task.borrow();
            (task.session_id == session).then(|| task.id.clone())
        })
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn add(
        &self,
        owner: &str,
        task: Task,
        shelves: &Shelves,
    ) -> (Log, mpsc::UnboundedReceiver<Command>) {
        let (commands, received) = mpsc::unbounded_channel();
        let key = (owner.to_owned(), task.id.clone());
        let (sender, task) = watch::channel(task);
        self.lock().insert(key, Live { task, commands });
        (Log { owner: owner.to_owned(), task: sender, shelves: shelves.clone() }, received)
    }

    pub(super) fn remove(&self, owner: &str, id: &str) {
        self.lock().remove(&(owner.to_owned(), id.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
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
        let event = Event { sequence_number: task.events, created_at: now(), told };
        self.shelves.tell(&self.owner, &task.id, &event).await?;
        self.task.send_modify(|task| task.events += 1);
        Ok(())
    }

    /// Ends the task with its last word.
    pub(super) async fn end(&self, change: impl FnOnce(&mut Task)) -> Result<(), Error> {
        let mut task = self.task();
        change(&mut task);
        task.questions.clear();
        task.ended_at = Some(now());
        let event = Event { sequence_number: task.events, created_at: now(), told: task.last_word() };
        task.events += 1;
        let told = self.shelves.tell(&self.owner, &task.id, &event).await;
        let saved = self.shelves.save(&self.owner, &task).await;
        self.task.send_replace(task);
        told.and(saved)
    }
}
