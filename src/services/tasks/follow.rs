//! Readers of task events, from any event onwards.

use futures::Stream;
use tokio::sync::watch;

use super::task::Task;
use super::task_event::TaskEvent;
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

/// Event of a followed task.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowedEvent {
    /// Event itself, as it is stored.
    pub event: TaskEvent,
    /// True if the task has ended and no event follows.
    pub is_last: bool,
}

impl TaskFollower {
    /// Returns the events as a stream that ends with the task.
    pub fn into_events(self) -> impl Stream<Item = Result<FollowedEvent, Error>> + Send {
        futures::stream::try_unfold(self, async |mut follower| {
            let event = follower.next_event().await?;
            let is_last = follower.is_done();
            Ok(event.map(|event| (FollowedEvent { event, is_last }, follower)))
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
        task.status.is_over() && task.event_count() <= self.next
    }

    async fn next_event(&mut self) -> Result<Option<TaskEvent>, Error> {
        loop {
            // The borrow ends before the await: it holds a read lock that would block the task.
            let (id, count, is_over) = {
                let task = self.task.borrow_and_update();
                (task.id.clone(), task.event_count(), task.status.is_over())
            };
            if self.next < count {
                let event = self.read_event(&id, self.next).await?;
                self.next += 1;
                match event {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if is_over || self.task.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Reads event `number`; `None` if it has expired, or its task was deleted. The final event and
    /// hand-overs are never lost, because they can be made from the task.
    async fn read_event(&self, id: &str, number: u64) -> Result<Option<TaskEvent>, Error> {
        let handover = self.task.borrow().handover_event(number);
        if handover.is_some() {
            return Ok(handover);
        }
        let stored = self.store.load_event(&self.owner, id, number).await?;
        Ok(stored.or_else(|| self.task.borrow().lost_final_event(number)))
    }
}
