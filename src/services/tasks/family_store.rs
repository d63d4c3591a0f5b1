//! Storage of families of tasks, which change in transactions.

use std::collections::HashMap;

use super::error::Error;
use super::family::FamilyError;
use super::family::TaskFamily;
use super::family::TaskLineage;
use super::task::Task;
use super::task::TaskHandover;
use super::task_end::TaskEnd;
use super::task_store::TaskStore;
use crate::domain::Money;
use crate::domain::unix_now_ms;
use crate::storage::store;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;

impl TaskStore {
    /// Returns the family of `root`; `None` if there was never a task below it.
    pub(super) async fn family(
        &self,
        owner: &str,
        root: &str,
    ) -> Result<Option<TaskFamily>, store::Error> {
        let record = self.families.get(owner, root).await?;
        let family = record.map(|record| decode_record(root, &record));
        family.transpose()
    }

    /// Returns the families of `owner` by the ids of their roots.
    pub(super) async fn families_of(
        &self,
        owner: &str,
    ) -> Result<HashMap<String, TaskFamily>, store::Error> {
        let records = self.families.list(owner).await?;
        records
            .into_iter()
            .map(|(root, record)| {
                let family: TaskFamily = decode_record(&root, &record)?;
                Ok((root, family))
            })
            .collect()
    }

    /// Returns owner and root of every family.
    pub(super) async fn family_keys(&self) -> Result<Vec<(String, String)>, store::Error> {
        self.families.list_keys().await
    }

    /// Adds `task`, which is to be below another one, to its family. Reserves `wanted` for it, or all
    /// that is left of the budget, and returns that amount. Check and reservation are one transaction.
    ///
    /// # Errors
    /// Fails when less is left, the family is full or has no root any more, or the store fails.
    pub(super) async fn reserve_share(
        &self,
        owner: &str,
        id: &str,
        lineage: TaskLineage,
        wanted: Option<Money>,
        root_spent: Money,
    ) -> Result<Money, Error> {
        let this = self.clone();
        let owner = owner.to_owned();
        let id = id.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            let TaskLineage { parent, root, .. } = &lineage;
            let found = match this.family_in(transaction, &owner, root)? {
                Some(family) => Some(family),
                None => this.new_family_in(transaction, &owner, root)?,
            };
            let lost = || FamilyError::ParentNotFound(parent.clone());
            let mut family = found.ok_or_else(lost)?;
            let share = family.add(&id, parent, wanted, root_spent)?;
            this.put_family_in(transaction, &owner, root, &family)?;
            Ok::<_, Error>(share)
        };
        self.families.transaction(work).await
    }

    /// Removes the task `id`, which was not created after all, from the family of `root`.
    pub(super) async fn release_share(
        &self,
        owner: &str,
        root: &str,
        id: &str,
    ) -> Result<(), store::Error> {
        let id = id.to_owned();
        self.change_family(owner, root, move |family| family.release(&id))
            .await
    }

    /// Hides a deleted task in its family, where its cost still counts.
    pub(super) async fn leave_family(&self, owner: &str, task: &Task) -> Result<(), store::Error> {
        let deleted = task.clone();
        self.change_family(owner, task.root_id(), move |family| family.hide(&deleted))
            .await
    }

    /// Stores an ended task together with its cost in the budget of its family, if it has one. A shared
    /// store that loses them gets them again.
    pub(super) async fn save_end(&self, owner: &str, task: &Task) -> Result<(), store::Error> {
        let this = self.clone();
        let owner = owner.to_owned();
        let task = task.clone();
        let work =
            move |transaction: &mut Transaction<'_>| this.put_end_in(transaction, &owner, &task);
        self.tasks.transaction(work).await
    }

    /// Stores an ended task as [`save_end`](Self::save_end) does, within `transaction`.
    pub(super) fn put_end_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        task: &Task,
    ) -> Result<(), store::Error> {
        let record = encode_record(task)?;
        let end = TaskEnd {
            task: self.tasks.place(owner, &task.id),
            family: self.families.place(owner, task.root_id()),
        };
        let settle = |family: &mut TaskFamily| family.settle(task);
        self.change_family_in(transaction, owner, task.root_id(), settle)?;
        end.task.put(transaction, &record)?;
        end.remember(transaction, &task.id, &record);
        Ok(())
    }

    /// Stores a new task together with the hand-over in its parent, whose work it continues.
    pub(super) async fn save_handed_over(
        &self,
        owner: &str,
        task: &Task,
    ) -> Result<(), store::Error> {
        let this = self.clone();
        let owner = owner.to_owned();
        let task = task.clone();
        let record = encode_record(&task)?;
        let handover = TaskHandover {
            task: task.id.clone(),
            created_at_ms: unix_now_ms(),
        };
        let work = move |transaction: &mut Transaction<'_>| {
            this.tasks.put_in(transaction, &owner, &task.id, &record)?;
            let parent_id = task.parent_id().unwrap_or_default();
            let stored = this.tasks.get_in(transaction, &owner, parent_id)?;
            // A parent that was deleted meanwhile tells nobody of the hand-over.
            let Some(stored) = stored else {
                return Ok(());
            };
            let mut parent: Task = decode_record(parent_id, &stored)?;
            parent.handovers.push(handover.clone());
            let changed = encode_record(&parent)?;
            this.tasks.put_in(transaction, &owner, parent_id, &changed)
        };
        self.tasks.transaction(work).await
    }

    /// Changes the family of `root`, if there is one.
    async fn change_family(
        &self,
        owner: &str,
        root: &str,
        change: impl Fn(&mut TaskFamily) + Send + 'static,
    ) -> Result<(), store::Error> {
        let this = self.clone();
        let owner = owner.to_owned();
        let root = root.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            this.change_family_in(transaction, &owner, &root, &change)
        };
        self.families.transaction(work).await
    }

    /// Changes the family of `root` within `transaction`, and removes it once all its tasks are
    /// deleted. One that cannot be read is logged and left as it is, because no task may wait for it
    /// to end.
    fn change_family_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        root: &str,
        change: impl Fn(&mut TaskFamily),
    ) -> Result<(), store::Error> {
        let found = skip_unreadable(self.family_in(transaction, owner, root))?;
        let Some(mut family) = found.flatten() else {
            return Ok(());
        };
        change(&mut family);
        if family.is_deleted() {
            self.families.remove_in(transaction, owner, root)?;
            return Ok(());
        }
        self.put_family_in(transaction, owner, root, &family)
    }

    fn family_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        root: &str,
    ) -> Result<Option<TaskFamily>, store::Error> {
        let record = self.families.get_in(transaction, owner, root)?;
        let family = record.map(|record| decode_record(root, &record));
        family.transpose()
    }

    /// Returns a new family of the stored task `root`; `None` if there is no such task.
    fn new_family_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        root: &str,
    ) -> Result<Option<TaskFamily>, store::Error> {
        let Some(record) = self.tasks.get_in(transaction, owner, root)? else {
            return Ok(None);
        };
        let task: Task = decode_record(root, &record)?;
        Ok(Some(TaskFamily::new(&task)))
    }

    /// Stores the family of `root` and restarts its time to live, so that it outlives its tasks.
    fn put_family_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        root: &str,
        family: &TaskFamily,
    ) -> Result<(), store::Error> {
        let record = encode_record(family)?;
        let families = &self.families;
        if families.replace_and_extend_in(transaction, owner, root, &record)? {
            return Ok(());
        }
        families.put_in(transaction, owner, root, &record)
    }
}
