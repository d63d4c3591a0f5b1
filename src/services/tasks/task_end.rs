//! Ends of tasks that this server has stored, to be made again if the store loses them.

use super::family::TaskFamily;
use super::task::Task;
use crate::storage::store::Error;
use crate::storage::store::RecordPlace;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;

/// Places that the end of a task changes.
#[derive(Debug, Clone)]
pub(super) struct TaskEnd {
    /// Record of the task.
    pub(super) task: RecordPlace,
    /// Record of its family, if it has one.
    pub(super) family: RecordPlace,
}

impl TaskEnd {
    /// Remembers `record`, that of the task `id`, which is over, so that a shared store which loses commits
    /// gets it again: clients were told of the end, and no server would end the task.
    pub(super) fn remember(&self, transaction: &mut Transaction<'_>, id: &str, record: &[u8]) {
        if !transaction.is_shared() {
            return;
        }
        let (end, id, record) = (self.clone(), id.to_owned(), record.to_vec());
        transaction.remember_result(self.task.name(), record.len(), move |transaction| {
            end.restore(transaction, &id, &record)
        });
    }

    /// Stores the end again, with the cost in the budget of the family. Returns false if the task is over,
    /// or was deleted.
    fn restore(
        &self,
        transaction: &mut Transaction<'_>,
        id: &str,
        record: &[u8],
    ) -> Result<bool, Error> {
        let is_restored = self.task.restore(transaction, record, |found| {
            let found: Task = decode_record(id, found)?;
            Ok(!found.status.is_over())
        })?;
        if is_restored && let Some(found) = self.family.get(transaction)? {
            let task: Task = decode_record(id, record)?;
            let family = decode_record::<TaskFamily>(task.root_id(), &found);
            if let Some(mut family) = skip_unreadable(family)? {
                family.settle(&task);
                self.family.put(transaction, &encode_record(&family)?)?;
            }
        }
        Ok(is_restored)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::domain::Money;
    use crate::services::tasks::TaskStatus;
    use crate::services::tasks::TaskStore;
    use crate::storage::store::Store;
    use crate::storage::store::TtlLimits;
    use crate::storage::store::testing::SharedBackend;
    use crate::storage::store::testing::read_earlier_record;

    const LIMITS: TtlLimits = TtlLimits {
        time_to_live: Duration::from_secs(60),
        max_records: 10,
        max_bytes: 1 << 20,
    };

    #[tokio::test]
    async fn end_of_a_task_that_is_lost_is_stored_again_with_its_cost() {
        let backend = Arc::new(SharedBackend::default());
        let records = Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
        let store = TaskStore::new(&records, LIMITS);
        let ended: Task = read_earlier_record(include_bytes!("fixtures/task-v1-child.json"));
        let ended = Task {
            cost_nanos: Some(7),
            ..ended
        };
        let lineage = ended.lineage.clone().unwrap();
        let root = Task {
            id: lineage.root.clone(),
            lineage: None,
            ..ended.clone()
        };
        let running = Task {
            status: TaskStatus::Running,
            ..ended.clone()
        };
        store.save("o", &root).await.unwrap();
        let share = store.reserve_share("o", &ended.id, lineage, None, Money::ZERO);
        share.await.unwrap();
        store.save("o", &running).await.unwrap();
        let saved = backend.records();
        store.save_end("o", &ended).await.unwrap();
        let family = store.family("o", &root.id).await.unwrap();
        backend.lose_all_but(saved.clone());
        records.snapshot(Vec::new()).await.unwrap();
        let restored = store.load_task("o", &ended.id).await.unwrap();
        assert_eq!(restored.as_ref(), Some(&ended));
        assert_eq!(store.family("o", &root.id).await.unwrap(), family);
        // A task that was deleted has no end to come back to.
        store.remove("o", &ended).await.unwrap();
        let deleted = backend.records();
        for saved in [deleted, saved] {
            backend.lose_all_but(saved);
            records.snapshot(Vec::new()).await.unwrap();
            let found = store.load_task("o", &ended.id).await.unwrap();
            assert_eq!(found, None);
        }
    }
}
