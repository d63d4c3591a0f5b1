//! Changes of tasks that servers leave to each other: each is one transaction over the task, the queue
//! and the owner.

use super::task::Task;
use super::task::TaskStatus;
use super::task_event::TaskEvent;
use super::task_store::TaskStore;
use super::task_store::event_key;
use crate::accounts::ledger::AbandonedWork;
use crate::accounts::ledger::WaitingWork;
use crate::accounts::ledger::WorkKind;
use crate::storage::store::Error;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

impl TaskStore {
    /// Stores the new `task` and its chosen id, and puts it into the queue.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn enqueue(&self, owner: &str, task: &Task) -> Result<(), Error> {
        let (this, owner, task) = (self.clone(), owner.to_owned(), task.clone());
        let record = encode_record(&task)?;
        let queued = self.tasks.transaction(move |transaction| {
            if let Some(chosen) = &task.chosen {
                let (table, id) = (&this.chosen_ids, task.id.as_bytes());
                // A record left by an earlier task would expire before this one, so its time is
                // extended.
                if !table.replace_and_extend_in(transaction, &owner, &chosen.id, id)? {
                    table.put_in(transaction, &owner, &chosen.id, id)?;
                }
            }
            this.tasks.put_in(transaction, &owner, &task.id, &record)?;
            let owners = &this.owners;
            owners.enqueue_in(transaction, WorkKind::Task, &owner, &task.id);
            Ok::<_, Error>(())
        });
        queued.await
    }

    /// Removes the new `task` and its chosen id, if it waits in the queue.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn remove_waiting(&self, owner: &str, task: &Task) -> Result<(), Error> {
        let (this, owner, task) = (self.clone(), owner.to_owned(), task.clone());
        let removed = self.tasks.transaction(move |transaction| {
            let (owner, id) = (owner.as_str(), task.id.as_str());
            let owners = &this.owners;
            if !owners.withdraw_in(transaction, WorkKind::Task, owner, id)? {
                return Ok(());
            }
            this.tasks.remove_in(transaction, owner, id)?;
            if let Some(chosen) = &task.chosen {
                let table = &this.chosen_ids;
                let found = table.get_in(transaction, owner, &chosen.id)?;
                if found.as_deref() == Some(id.as_bytes()) {
                    table.remove_in(transaction, owner, &chosen.id)?;
                }
            }
            Ok::<_, Error>(())
        });
        removed.await
    }

    /// Takes the task of `work` out of the queue, to be run by this server. Returns false if it was taken
    /// or cancelled before, also if Redis has lost that it was taken, and got the end again.
    ///
    /// # Errors
    /// Fails when the store cannot be written, or the record cannot be read. Nothing is changed then.
    pub(super) async fn take_queued(&self, work: &WaitingWork) -> Result<bool, Error> {
        let (this, work) = (self.clone(), work.clone());
        let taken = self.tasks.transaction(move |transaction| {
            let (owner, id) = (work.owner.as_str(), work.id.as_str());
            if this.is_over_in(transaction, owner, id)? {
                let owners = &this.owners;
                owners.withdraw_in(transaction, WorkKind::Task, owner, id)?;
                return Ok(false);
            }
            this.owners.take_in(transaction, &work)
        });
        taken.await
    }

    /// Returns true if the task `id` is stored and has ended.
    fn is_over_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<bool, Error> {
        let Some(bytes) = self.tasks.get_in(transaction, owner, id)? else {
            return Ok(false);
        };
        let task: Task = decode_record(id, &bytes)?;
        Ok(task.status.is_over())
    }

    /// Stores `task`, which begins now. Returns false, and changes nothing, if it is not this server's any
    /// more: it was taken for dead, and another one may have begun the task.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn begin_shared(&self, owner: &str, task: &Task) -> Result<bool, Error> {
        let (this, owner, id) = (self.clone(), owner.to_owned(), task.id.clone());
        let record = encode_record(task)?;
        let begun = self.tasks.transaction(move |transaction| {
            let owners = &this.owners;
            if !owners.is_own_in(transaction, WorkKind::Task, &owner, &id)? {
                return Ok(false);
            }
            this.tasks.put_in(transaction, &owner, &id, &record)?;
            Ok::<_, Error>(true)
        });
        begun.await
    }

    /// Puts `task`, which has not begun, back into the queue. Returns false, and changes nothing, if it is
    /// not this server's.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn return_to_queue(&self, owner: &str, task: &Task) -> Result<bool, Error> {
        let (this, owner, id) = (self.clone(), owner.to_owned(), task.id.clone());
        let record = encode_record(task)?;
        let returned = self.tasks.transaction(move |transaction| {
            let owners = &this.owners;
            if !owners.requeue_in(transaction, WorkKind::Task, &owner, &id)? {
                return Ok(false);
            }
            this.tasks.put_in(transaction, &owner, &id, &record)?;
            Ok::<_, Error>(true)
        });
        returned.await
    }

    /// Puts `task`, the one of `work`, which a lost server had not begun, back into the queue. Returns false,
    /// and changes nothing, if another server was first.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn requeue_abandoned(
        &self,
        work: &AbandonedWork,
        task: &Task,
    ) -> Result<bool, Error> {
        let (this, work) = (self.clone(), work.clone());
        let record = encode_record(task)?;
        let requeued = self.tasks.transaction(move |transaction| {
            let owners = &this.owners;
            if !owners.end_abandoned_in(transaction, &work)? {
                return Ok(false);
            }
            let (owner, id) = (work.owner.as_str(), work.id.as_str());
            owners.enqueue_in(transaction, WorkKind::Task, owner, id);
            this.tasks.put_in(transaction, owner, id, &record)?;
            Ok::<_, Error>(true)
        });
        requeued.await
    }

    /// Removes the note of `work`, whose task is over or gone.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn forget_abandoned(&self, work: &AbandonedWork) -> Result<(), Error> {
        let (owners, work) = (self.owners.clone(), work.clone());
        let forgotten = self.tasks.transaction(move |transaction| {
            owners.end_abandoned_in(transaction, &work)?;
            Ok::<_, Error>(())
        });
        forgotten.await
    }

    /// Takes the task `id` out of the queue, ends it as cancelled and returns it; `None` if it does not
    /// wait there, its record is gone, or it has ended.
    ///
    /// # Errors
    /// Fails when the store cannot be written, or the record cannot be read. Nothing is changed then.
    pub(super) async fn cancel_waiting(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<Task>, Error> {
        let (this, owner, id) = (self.clone(), owner.to_owned(), id.to_owned());
        let cancelled = self.tasks.transaction(move |transaction| {
            let owners = &this.owners;
            if !owners.withdraw_in(transaction, WorkKind::Task, &owner, &id)? {
                return Ok(None);
            }
            let Some(bytes) = this.tasks.get_in(transaction, &owner, &id)? else {
                return Ok(None);
            };
            let mut task: Task = decode_record(&id, &bytes)?;
            // Redis has lost that it was taken, and got the end again.
            if task.status.is_over() {
                return Ok(None);
            }
            task.status = TaskStatus::Cancelled;
            task.cost_nanos = Some(0);
            let event = TaskEvent::new(task.events, task.final_event_kind());
            task.ended_at = Some(event.created_at);
            task.events += 1;
            let key = event_key(&id, event.sequence_number);
            let record = encode_record(&event)?;
            this.events.put_in(transaction, &owner, &key, &record)?;
            this.put_end_in(transaction, &owner, &task)?;
            Ok::<_, Error>(Some(task))
        });
        cancelled.await
    }
}
