//! Readers of task events, from any event onwards.

use std::time::Duration;

use futures::Stream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::task::Task;
use super::task::TaskStatus;
use super::task_event::TaskEvent;
use super::task_store::TaskStore;
use crate::runtime::backoff::with_jitter;
use crate::storage::store::Error;

/// Time between two looks at a task that another server may run, without the jitter.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the stored and future events of a task. All events come from the store, so a slow or late
/// reader misses none that is still stored.
#[derive(Debug)]
pub struct TaskFollower {
    pub(super) owner: String,
    pub(super) task: watch::Receiver<Task>,
    pub(super) store: TaskStore,
    pub(super) next: u64,
    /// Set once the task is read from the store again and again: it has waited in the queue of all servers.
    pub(super) is_polled: bool,
    /// Set if the events end where a task that has waited in the queue of all servers begins.
    pub(super) ends_at_begin: bool,
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

    /// Ends the events where a task that waits in the queue of all servers begins: another server may run
    /// it, and takes what changes it.
    #[must_use]
    pub fn until_begun(self) -> Self {
        Self {
            ends_at_begin: true,
            ..self
        }
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
            if is_over || (self.task.changed().await.is_err() && !self.poll().await?) {
                return Ok(None);
            }
        }
    }

    /// Waits a moment and reads the task again, if it waits or has waited in the queue of all servers: any
    /// of them may run it. Returns false for another task, one that is deleted, and where the events end.
    async fn poll(&mut self) -> Result<bool, Error> {
        let (id, is_waiting) = {
            let task = self.task.borrow();
            (task.id.clone(), task.is_waiting_for_any_server())
        };
        self.is_polled |= is_waiting;
        if !self.is_polled {
            return Ok(false);
        }
        sleep(with_jitter(POLL_INTERVAL)).await;
        let Some(mut task) = self.store.load_task(&self.owner, &id).await? else {
            return Ok(false);
        };
        if self.ends_at_begin && task.status == TaskStatus::Running {
            return Ok(false);
        }
        // The stored counter may lag behind the stored events. The last event comes with the end.
        while !task.status.is_over()
            && let Some(event) = self.store.load_event(&self.owner, &id, task.events).await?
            && !event.kind.is_final()
        {
            task.events += 1;
        }
        self.task = watch::channel(task).1;
        Ok(true)
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
