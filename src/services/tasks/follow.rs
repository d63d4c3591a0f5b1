//! What a task tells, from any of its events on.

use futures::Stream;
use tokio::sync::watch;

use super::shelves::Shelves;
use super::task::Event;
use super::task::Task;
use crate::storage::store::Error;

/// Reads the events of a task, those that it has told and those that it will tell. All of them come from the store, so it does
/// not matter how late a reader is.
#[derive(Debug)]
pub struct Follower {
    pub(super) owner: String,
    pub(super) task: watch::Receiver<Task>,
    pub(super) shelves: Shelves,
    pub(super) next: u64,
}

impl Follower {
    /// The events, as they come. Ends with the task.
    pub fn into_events(self) -> impl Stream<Item = Result<Event, Error>> + Send {
        futures::stream::try_unfold(self, async |mut follower| {
            Ok(follower.next().await?.map(|event| (event, follower)))
        })
    }

    /// The id that was made for the task.
    pub fn id(&self) -> String {
        self.task.borrow().id.clone()
    }

    /// What the owner of the task calls it.
    pub fn task_id(&self) -> String {
        self.task.borrow().task_id().to_owned()
    }

    /// Whether the task is over and nothing is left to be told.
    pub fn is_done(&self) -> bool {
        let task = self.task.borrow();
        task.status.is_over() && task.events <= self.next
    }

    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let (id, told, is_over) = {
                let task = self.task.borrow_and_update();
                (task.id.clone(), task.events, task.status.is_over())
            };
            if self.next < told {
                let event = self.shelves.event(&self.owner, &id, self.next).await?;
                self.next += 1;
                // One that is gone has had its time, or its task was taken away; how that ended is known still.
                let is_last = is_over && self.next == told;
                match event.or_else(|| is_last.then(|| self.task.borrow().last_event())) {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if is_over || self.task.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
