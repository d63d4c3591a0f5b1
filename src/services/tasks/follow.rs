//! Readers of task events, from any event onwards.

use futures::Stream;
use tokio::sync::watch;

use super::task::Task;
use super::task::TaskEvent;
use super::task_store::TaskStore;
use crate::storage::store::Error;

/// Reads the stored and future events of a task. All events come from the store, so a slow or late
/// reader misses none that is still stored.
#[derive(Debug)]
pub struct TaskFollower {
    pub(super) owner: String,
    pub(super) task: watch::Receiver<Task>,
    pub(super) store: TaskStore,
    pub(super) next: u64,
}

impl TaskFollower {
    /// Returns the events as a stream that ends with the task.
    pub fn into_events(self) -> impl Stream<Item = Result<TaskEvent, Error>> + Send {
        futures::stream::try_unfold(self, async |mut follower| {
            Ok(follower.next_event().await?.map(|event| (event, follower)))
        })
    }

    /// Returns the generated id of the task.
    pub fn id(&self) -> String {
        self.task.borrow().id.clone()
    }

    /// Returns the id by which the owner knows the task: the chosen one, or else the generated one.
    pub fn task_id(&self) -> String {
        self.task.borrow().task_id().to_owned()
    }

    /// True if the task has ended and all its events were read.
    pub fn is_done(&self) -> bool {
        let task = self.task.borrow();
        task.status.is_over() && task.events <= self.next
    }

    async fn next_event(&mut self) -> Result<Option<TaskEvent>, Error> {
        loop {
            // The borrow ends before the await: it holds a read lock that would block the task.
            let (id, count, is_over) = {
                let task = self.task.borrow_and_update();
                (task.id.clone(), task.events, task.status.is_over())
            };
            if self.next < count {
                let event = self.store.load_event(&self.owner, &id, self.next).await?;
                self.next += 1;
                // The event has expired, or its task was deleted. The final event can still be
                // built from the task.
                let is_last = is_over && self.next == count;
                match event.or_else(|| is_last.then(|| self.task.borrow().final_event())) {
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
