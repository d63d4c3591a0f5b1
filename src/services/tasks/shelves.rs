//! Where tasks are kept, and what they have told.

use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use serde::Deserialize;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::task::Event;
use super::task::Task;
use crate::domain::Money;
use crate::storage::store::Error;
use crate::storage::store::Limits;
use crate::storage::store::Shelf;
use crate::storage::store::Store;
use crate::storage::store::Stored;
use crate::storage::store::Table;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

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
        self.tasks.put(owner, &task.id, encode_record(task)?).await
    }

    pub(super) async fn task(&self, owner: &str, id: &str) -> Result<Option<Task>, Error> {
        let bytes = self.tasks.get(owner, id).await?;
        bytes.map(|bytes| decode_record(id, &bytes)).transpose()
    }

    /// All tasks with their owners, and the number of those that cannot be read, which are logged.
    pub(super) async fn all(&self) -> Result<(Vec<(String, Task)>, usize), Error> {
        let mut tasks = Vec::new();
        let mut unreadable = 0;
        for (owner, id) in self.tasks.names().await? {
            match self.task(&owner, &id).await {
                Err(error @ Error::Unreadable { .. }) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "stored task unreadable"
                    );
                    unreadable += 1;
                }
                task => tasks.extend(task?.map(|task| (owner, task))),
            }
        }
        Ok((tasks, unreadable))
    }

    /// The tasks of `owner`.
    pub(super) async fn of(&self, owner: &str) -> Result<Vec<Task>, Error> {
        let records = self.tasks.of(owner).await?;
        let read = |record: &Vec<u8>| decode_record(&format!("of {owner}"), record);
        records.iter().map(read).collect()
    }

    /// What a session has cost, by the CLI's count; none where that is not known.
    pub(super) async fn session_cost(
        &self,
        owner: &str,
        session: &str,
    ) -> Result<Option<Money>, Error> {
        let record = self.sessions.get(owner, session).await?;
        let cost = record
            .map(|record| decode_record(session, &record))
            .transpose()?;
        Ok(cost
            .and_then(|SessionCost(nanos)| nanos)
            .map(Money::from_nanos))
    }

    pub(super) async fn note_session(
        &self,
        owner: &str,
        session: &str,
        cost: Option<Money>,
    ) -> Result<(), Error> {
        let record = encode_record(&SessionCost(cost.map(Money::nanos)))?;
        if self.sessions.renew(owner, session, record.clone()).await? {
            return Ok(());
        }
        self.sessions.put(owner, session, record).await
    }

    pub(super) async fn tell(&self, owner: &str, id: &str, event: &Event) -> Result<(), Error> {
        let record = encode_record(event)?;
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
        let place = place(id, number);
        let bytes = self.events.get(owner, &place).await?;
        bytes.map(|bytes| decode_record(&place, &bytes)).transpose()
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

impl Stored for Task {
    const KIND: &'static str = "task";
}

impl Stored for Event {
    const KIND: &'static str = "event of task";
}

/// The cost of a session in nano-dollars, where the CLI has told one.
#[derive(Serialize, Deserialize)]
struct SessionCost(Option<i64>);

impl Stored for SessionCost {
    const KIND: &'static str = "cost of session";
}

fn place(id: &str, number: u64) -> String {
    format!("{id}/{number:08}")
}
