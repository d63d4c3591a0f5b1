//! Where tasks are kept, and what they have told.

use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::task::Event;
use super::task::Task;
use crate::domain::Money;
use crate::storage::store::Error;
use crate::storage::store::Limits;
use crate::storage::store::Shelf;
use crate::storage::store::Store;
use crate::storage::store::Table;

/// What is stored of tasks.
#[derive(Debug, Clone)]
pub struct Shelves {
    tasks: Shelf,
    /// The ids that were made, by those that owners have chosen.
    chosen: Shelf,
    /// Each event by the id of its task and its number.
    events: Shelf,
    /// What the CLI has counted for each session, in nano-dollars; none where it could not tell.
    sessions: Shelf,
}

/// Events that there may be for each task that is kept, on the average.
const EVENTS_OF_A_TASK: u64 = 1000;
/// Events that are taken away side by side.
const REMOVED_AT_ONCE: usize = 64;

impl Shelves {
    /// The shelves of `store`; `limits` are those of the tasks, and of the bytes that their events have together.
    pub fn new(store: &Store, limits: Limits) -> Self {
        let of_events = Limits {
            max_records: limits.max_records.saturating_mul(EVENTS_OF_A_TASK),
            ..limits
        };
        Self {
            tasks: Shelf::new(store.clone(), Table::new("tasks"), limits),
            chosen: Shelf::new(store.clone(), Table::new("task-chosen-ids"), limits),
            events: Shelf::new(store.clone(), Table::new("task-events"), of_events),
            sessions: Shelf::new(store.clone(), Table::new("task-sessions"), limits),
        }
    }

    /// Takes away what is there beyond its time, until `stop`.
    pub fn keep_tidy(&self, stop: &CancellationToken) {
        for shelf in [&self.tasks, &self.chosen, &self.events, &self.sessions] {
            shelf.keep_tidy(stop.clone());
        }
    }

    /// Writes a new task down, with the id that its owner has chosen.
    pub(super) async fn add(&self, owner: &str, task: &Task) -> Result<(), Error> {
        if let Some(chosen) = &task.chosen {
            let record = task.id.clone().into_bytes();
            // One that is left of an earlier task would leave before this one.
            if !self.chosen.renew(owner, &chosen.id, record.clone()).await? {
                self.chosen.put(owner, &chosen.id, record).await?;
            }
        }
        self.save(owner, task).await
    }

    /// The id that was made for the task for which `owner` has chosen `id`.
    pub(super) async fn chosen(&self, owner: &str, id: &str) -> Result<Option<String>, Error> {
        let record = self.chosen.get(owner, id).await?;
        Ok(record.and_then(|record| String::from_utf8(record).ok()))
    }

    pub(super) async fn save(&self, owner: &str, task: &Task) -> Result<(), Error> {
        // Its keys are texts and it is written to memory: nothing can fail.
        self.tasks
            .put(
                owner,
                &task.id,
                serde_json::to_vec(task).unwrap_or_default(),
            )
            .await
    }

    pub(super) async fn task(&self, owner: &str, id: &str) -> Result<Option<Task>, Error> {
        let bytes = self.tasks.get(owner, id).await?;
        // One that cannot be read was written by another version, and is as good as gone.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// All tasks, with their owners.
    pub(super) async fn all(&self) -> Result<Vec<(String, Task)>, Error> {
        let mut tasks = Vec::new();
        for (owner, id) in self.tasks.names().await? {
            tasks.extend(self.task(&owner, &id).await?.map(|task| (owner, task)));
        }
        Ok(tasks)
    }

    /// The tasks of `owner`.
    pub(super) async fn of(&self, owner: &str) -> Result<Vec<Task>, Error> {
        let records = self.tasks.of(owner).await?;
        Ok(records
            .iter()
            .filter_map(|record| serde_json::from_slice(record).ok())
            .collect())
    }

    /// What a session has cost, by the CLI's count; none where that is not known.
    pub(super) async fn session_cost(
        &self,
        owner: &str,
        session: &str,
    ) -> Result<Option<Money>, Error> {
        let record = self.sessions.get(owner, session).await?;
        let nanos =
            record.and_then(|record| serde_json::from_slice::<Option<i64>>(&record).ok()?);
        Ok(nanos.map(Money::from_nanos))
    }

    pub(super) async fn note_session(
        &self,
        owner: &str,
        session: &str,
        cost: Option<Money>,
    ) -> Result<(), Error> {
        let record = serde_json::to_vec(&cost.map(Money::nanos)).unwrap_or_default();
        if self.sessions.renew(owner, session, record.clone()).await? {
            return Ok(());
        }
        self.sessions.put(owner, session, record).await
    }

    pub(super) async fn tell(&self, owner: &str, id: &str, event: &Event) -> Result<(), Error> {
        let record = serde_json::to_vec(event).unwrap_or_default();
        self.events
            .put(owner, &place(id, event.sequence_number), record)
            .await
    }

    pub(super) async fn event(
        &self,
        owner: &str,
        id: &str,
        number: u64,
    ) -> Result<Option<Event>, Error> {
        let bytes = self.events.get(owner, &place(id, number)).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Takes a task away with all it has told.
    pub(super) async fn remove(&self, owner: &str, task: &Task) -> Result<(), Error> {
        let removals = (0..task.events).map(|number| self.remove_event(owner, &task.id, number));
        // Side by side: what is written together is synced together.
        stream::iter(removals)
            .buffer_unordered(REMOVED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.tasks.remove(owner, &task.id).await?;
        if let Some(chosen) = &task.chosen
            && self
                .chosen(owner, &chosen.id)
                .await?
                .is_some_and(|made| made == task.id)
        {
            self.chosen.remove(owner, &chosen.id).await?;
        }
        Ok(())
    }

    async fn remove_event(&self, owner: &str, id: &str, number: u64) -> Result<(), Error> {
        self.events.remove(owner, &place(id, number)).await?;
        Ok(())
    }
}

fn place(id: &str, number: u64) -> String {
    format!("{id}/{number:08}")
}
