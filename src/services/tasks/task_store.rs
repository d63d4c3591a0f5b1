//! Storage of tasks, their events and the costs of their sessions.

use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use serde::Deserialize;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::task::Task;
use super::task_event::TaskEvent;
use crate::accounts::ledger::SharedLocks;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwners;
use crate::domain::Money;
use crate::storage::store::Error;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;

/// Stored tasks with their events, families, chosen ids and session costs.
#[derive(Debug, Clone)]
pub struct TaskStore {
    pub(super) tasks: TtlTable,
    /// Families, by the id of their root.
    pub(super) families: TtlTable,
    /// Generated task ids, by owner and chosen id.
    pub(super) chosen_ids: TtlTable,
    /// Events, by task id and sequence number.
    pub(super) events: TtlTable,
    /// Total cost of each session in nano-dollars, as reported by the CLI; `None` if it is unknown.
    session_costs: TtlTable,
    /// Servers that run the tasks.
    pub(super) owners: WorkOwners,
    /// Locks of chosen ids over all servers.
    pub(super) locks: SharedLocks,
}

/// Average number of events per stored task, for the limit on stored events.
const AVERAGE_EVENTS_PER_TASK: u64 = 1000;
/// Maximum number of concurrent removals of events.
const MAX_CONCURRENT_REMOVALS: usize = 64;

impl TaskStore {
    /// Opens the tables in `store`. `limits` applies to the tasks; its size limit also to their
    /// events.
    pub fn new(store: &Store, limits: TtlLimits) -> Self {
        let of_events = TtlLimits {
            max_records: limits.max_records.saturating_mul(AVERAGE_EVENTS_PER_TASK),
            ..limits
        };
        Self {
            tasks: TtlTable::new(store.clone(), StoreTable::new("tasks"), limits),
            families: TtlTable::new(store.clone(), StoreTable::new("task-families"), limits),
            chosen_ids: TtlTable::new(store.clone(), StoreTable::new("task-chosen-ids"), limits),
            events: TtlTable::new(store.clone(), StoreTable::new("task-events"), of_events),
            session_costs: TtlTable::new(store.clone(), StoreTable::new("task-sessions"), limits),
            owners: WorkOwners::default(),
            locks: SharedLocks::default(),
        }
    }

    /// Locks chosen ids in `locks`, too, while their tasks are created.
    #[must_use]
    pub fn with_locks(self, locks: SharedLocks) -> Self {
        Self { locks, ..self }
    }

    /// Notes in `owners` which server runs a task.
    #[must_use]
    pub fn with_owners(self, owners: WorkOwners) -> Self {
        Self { owners, ..self }
    }

    /// Starts the cleanup of expired records, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: &CancellationToken) {
        for table in [
            &self.tasks,
            &self.families,
            &self.chosen_ids,
            &self.events,
            &self.session_costs,
        ] {
            table.spawn_cleanup(stop.clone());
        }
    }

    /// Stores a new task, and its chosen id. One that continues the work of its parent is recorded
    /// there too.
    pub(super) async fn add(
        &self,
        owner: &str,
        task: &Task,
        is_handover: bool,
    ) -> Result<(), Error> {
        self.owners.begin(WorkKind::Task, owner, &task.id).await?;
        if let Some(chosen) = &task.chosen {
            let record = task.id.clone().into_bytes();
            // A record left by an earlier task would expire before this one, so its time is
            // extended.
            if !self
                .chosen_ids
                .replace_and_extend(owner, &chosen.id, record.clone())
                .await?
            {
                self.chosen_ids.put(owner, &chosen.id, record).await?;
            }
        }
        if is_handover {
            self.save_handed_over(owner, task).await
        } else {
            self.save(owner, task).await
        }
    }

    /// Returns the generated id of the task for which `owner` chose `id`.
    pub(super) async fn id_of_chosen(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<String>, Error> {
        let record = self.chosen_ids.get(owner, id).await?;
        let generated = record.map(String::from_utf8).transpose();
        generated.map_err(|_| Error::Unreadable {
            kind: "chosen id of task",
            name: id.to_owned(),
            reason: "it is not UTF-8".to_owned(),
        })
    }

    pub(super) async fn save(&self, owner: &str, task: &Task) -> Result<(), Error> {
        self.tasks.put(owner, &task.id, encode_record(task)?).await
    }

    pub(super) async fn load_task(&self, owner: &str, id: &str) -> Result<Option<Task>, Error> {
        let bytes = self.tasks.get(owner, id).await?;
        bytes.map(|bytes| decode_record(id, &bytes)).transpose()
    }

    /// Returns the owner of the task with this generated id.
    pub(super) async fn owner_of(&self, id: &str) -> Result<Option<String>, Error> {
        let keys = self.tasks.list_keys().await?;
        let owner = keys.into_iter().find(|(_, found)| found == id);
        Ok(owner.map(|(owner, _)| owner))
    }

    /// Returns all readable tasks with their owners, and the number of unreadable ones, which are
    /// logged.
    pub(super) async fn load_all(&self) -> Result<(Vec<(String, Task)>, usize), Error> {
        let mut tasks = Vec::new();
        let mut unreadable = 0;
        for (owner, id) in self.tasks.list_keys().await? {
            match skip_unreadable(self.load_task(&owner, &id).await)? {
                Some(task) => tasks.extend(task.map(|task| (owner, task))),
                None => unreadable += 1,
            }
        }
        Ok((tasks, unreadable))
    }

    /// Returns the tasks of `owner`.
    pub(super) async fn load_all_of(&self, owner: &str) -> Result<Vec<Task>, Error> {
        let records = self.tasks.list(owner).await?;
        records
            .iter()
            .map(|(id, record)| decode_record(id, record))
            .collect()
    }

    /// Returns the total cost of a session as reported by the CLI, or `None` if it is unknown.
    pub(super) async fn session_cost(
        &self,
        owner: &str,
        session: &str,
    ) -> Result<Option<Money>, Error> {
        let record = self.session_costs.get(owner, session).await?;
        let cost = record
            .map(|record| decode_record(session, &record))
            .transpose()?;
        Ok(cost
            .and_then(|SessionCost(nanos)| nanos)
            .map(Money::from_nanos))
    }

    pub(super) async fn save_session_cost(
        &self,
        owner: &str,
        session: &str,
        cost: Option<Money>,
    ) -> Result<(), Error> {
        let record = encode_record(&SessionCost(cost.map(Money::nanos)))?;
        if self
            .session_costs
            .replace_and_extend(owner, session, record.clone())
            .await?
        {
            return Ok(());
        }
        self.session_costs.put(owner, session, record).await
    }

    pub(super) async fn add_event(
        &self,
        owner: &str,
        id: &str,
        event: &TaskEvent,
    ) -> Result<(), Error> {
        let record = encode_record(event)?;
        self.events
            .put(owner, &event_key(id, event.sequence_number), record)
            .await
    }

    pub(super) async fn load_event(
        &self,
        owner: &str,
        id: &str,
        number: u64,
    ) -> Result<Option<TaskEvent>, Error> {
        let place = event_key(id, number);
        let bytes = self.events.get(owner, &place).await?;
        bytes.map(|bytes| decode_record(&place, &bytes)).transpose()
    }

    /// Deletes a task with all its events.
    pub(super) async fn remove(&self, owner: &str, task: &Task) -> Result<(), Error> {
        let removals = (0..task.events).map(|number| self.remove_event(owner, &task.id, number));
        // Concurrent, so that the removals share group commits.
        stream::iter(removals)
            .buffer_unordered(MAX_CONCURRENT_REMOVALS)
            .try_collect::<()>()
            .await?;
        self.tasks.delete(owner, &task.id).await?;
        if let Some(chosen) = &task.chosen {
            self.free_chosen_id(owner, &chosen.id, &task.id).await?;
        }
        self.leave_family(owner, task).await
    }

    /// Frees the id `chosen` of `owner` if it is that of the task `id`. One step, so that a task which
    /// another server creates with the same chosen id meanwhile keeps it.
    async fn free_chosen_id(&self, owner: &str, chosen: &str, id: &str) -> Result<(), Error> {
        let table = self.chosen_ids.clone();
        let (owner, chosen, id) = (owner.to_owned(), chosen.to_owned(), id.to_owned());
        let freed = self.chosen_ids.transaction(move |transaction| {
            let found = table.get_in(transaction, &owner, &chosen)?;
            if found.as_deref() == Some(id.as_bytes()) {
                table.remove_in(transaction, &owner, &chosen)?;
            }
            Ok::<_, Error>(())
        });
        freed.await
    }

    async fn remove_event(&self, owner: &str, id: &str, number: u64) -> Result<(), Error> {
        self.events.remove(owner, &event_key(id, number)).await?;
        Ok(())
    }
}

impl Stored for Task {
    const KIND: &'static str = "task";
}

impl Stored for TaskEvent {
    const KIND: &'static str = "event of task";
}

/// Cost of a session in nano-dollars; `None` if the CLI reported none.
#[derive(Serialize, Deserialize)]
struct SessionCost(Option<i64>);

impl Stored for SessionCost {
    const KIND: &'static str = "cost of session";
}

/// Returns the key of an event in its table.
pub(super) fn event_key(id: &str, number: u64) -> String {
    format!("{id}/{number:08}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn task_of_each_version_is_read() {
        for earlier in [
            &include_bytes!("fixtures/task-v0.json")[..],
            include_bytes!("fixtures/task-v1.json"),
        ] {
            let task: Task = read_earlier_record(earlier);
            assert_eq!(task.prompt, "say hi again");
        }
        for earlier in [
            &include_bytes!("fixtures/task-event-v0.json")[..],
            include_bytes!("fixtures/task-event-v1.json"),
        ] {
            let event: TaskEvent = read_earlier_record(earlier);
            assert_eq!(event.sequence_number, 0);
        }
        let child: Task = read_earlier_record(include_bytes!("fixtures/task-v1-child.json"));
        assert_eq!((child.event_count(), child.handovers.len()), (8, 1));
        assert!(child.parent_id().is_some());
        let SessionCost(nanos) = decode_record("s", b"\x01250000").unwrap();
        assert_eq!(nanos, Some(250_000));
    }

    const LIMITS: TtlLimits = TtlLimits {
        time_to_live: Duration::from_secs(60),
        max_records: 10,
        max_bytes: 1 << 20,
    };

    #[tokio::test]
    async fn chosen_id_is_freed_by_its_own_task_alone() {
        let store = TaskStore::new(&Store::in_memory(TaskTracker::new()), LIMITS);
        let newer = b"task_2".to_vec();
        store.chosen_ids.put("o", "mine", newer).await.unwrap();
        store.free_chosen_id("o", "mine", "task_1").await.unwrap();
        let kept = store.id_of_chosen("o", "mine").await.unwrap();
        assert_eq!(kept.as_deref(), Some("task_2"));
        store.free_chosen_id("o", "mine", "task_2").await.unwrap();
        assert_eq!(store.id_of_chosen("o", "mine").await.unwrap(), None);
    }

    /// Without a codec: the value is the generated id.
    #[tokio::test]
    async fn chosen_id_of_version_1_is_read() {
        let backing = Store::in_memory(TaskTracker::new());
        let table = TtlTable::new(backing.clone(), StoreTable::new("task-chosen-ids"), LIMITS);
        table.put("o", "mine", b"task_2c6f".to_vec()).await.unwrap();
        table.put("o", "damaged", b"\xff".to_vec()).await.unwrap();
        let store = TaskStore::new(&backing, LIMITS);
        let generated = store.id_of_chosen("o", "mine").await.unwrap();
        assert_eq!(generated.as_deref(), Some("task_2c6f"));
        store.id_of_chosen("o", "damaged").await.unwrap_err();
    }
}
