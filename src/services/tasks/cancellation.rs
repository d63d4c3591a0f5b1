//! Interrupts, cancellation and deletion of tasks.

use std::sync::Arc;

use super::error::Error;
use super::service::TaskDeps;
use super::service::Tasks;
use super::service::TasksInner;
use super::task::Task;
use crate::domain::Caller;

impl TasksInner {
    /// Interrupts `task` if it runs here. Cancels it if it waits, here or in the queue of all servers.
    ///
    /// # Errors
    /// Fails when it has ended, or another server begins it at this moment.
    pub(super) async fn stop(self: &Arc<Self>, owner: &str, task: &Task) -> Result<(), Error> {
        if task.is_waiting_for_any_server() {
            match self.cancel_waiting(owner, task).await {
                // It may be this server that has taken it.
                Err(Error::TakenElsewhere) => {}
                cancelled => return cancelled.map(drop),
            }
        }
        match self.active.get(owner, &task.id) {
            Some(live) => live.cancel(),
            None if task.is_waiting_for_any_server() => return Err(Error::TakenElsewhere),
            None => return Err(Error::TaskEnded),
        }
        Ok(())
    }

    /// Cancels `task`, which waits in the queue of all servers, and returns it as it has ended.
    ///
    /// # Errors
    /// Fails when a server has taken it meanwhile, or the store fails.
    pub(super) async fn cancel_waiting(
        self: &Arc<Self>,
        owner: &str,
        task: &Task,
    ) -> Result<Task, Error> {
        let cancelled = self.deps.store.cancel_waiting(owner, &task.id).await?;
        let cancelled = cancelled.ok_or(Error::TakenElsewhere)?;
        self.deps.metrics.count_end(cancelled.status.as_str());
        tracing::info!(task.id = cancelled.id, "waiting task cancelled");
        let (inner, ended) = (Arc::clone(self), cancelled.clone());
        // Spawned, so that a client that disconnects meanwhile does not keep the events back.
        self.deps
            .tracker
            .spawn(async move { inner.send_webhooks(&ended).await });
        Ok(cancelled)
    }
}

impl Tasks {
    /// Interrupts a running task, or cancels a queued one. Returns the state of the task at the
    /// time of the call: it may still be running.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, the task has ended, or another server begins it at
    /// this moment.
    pub async fn interrupt(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let task = self.get_alone(caller, id).await?;
        self.0.stop(&owner, &task).await?;
        Ok(self.0.with_readable_family(&owner, task).await)
    }

    /// Deletes a task with all its events, after interrupting it if it is running. Returns its last
    /// state.
    ///
    /// # Errors
    /// Fails when the caller has no task with this id, another server begins it at this moment, or the
    /// store fails.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<Task, Error> {
        let owner = self.0.deps.keys.owner_id(caller);
        let id = &*self.generated_id(&owner, id).await?;
        self.0.active.cancel_and_wait(&owner, id).await;
        let mut task = self.get_alone(caller, id).await?;
        if task.is_waiting_for_any_server() {
            task = self.0.cancel_waiting(&owner, &task).await?;
        }
        let task = self.0.with_readable_family(&owner, task).await;
        let TaskDeps { store, runner, .. } = &self.0.deps;
        // A task that is being created with the same chosen id keeps that id.
        let lock = match &task.chosen {
            Some(chosen) => Some(self.0.chosen_ids.register(&owner, &chosen.id, ()).await),
            None => None,
        };
        store.remove(&owner, &task).await?;
        drop(lock);
        let is_left = store
            .load_all_of(&owner)
            .await?
            .iter()
            .any(|other| other.session_id == task.session_id);
        if let (Some(runner), Ok(session), false) = (runner, task.session_id.parse(), is_left) {
            runner.forget_session(session);
        }
        Ok(task)
    }
}
