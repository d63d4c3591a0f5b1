//! Recovery after a restart, and the removal of sessions that no task needs.

use std::time::Duration;

use tokio::time::sleep;

use crate::accounts::ledger::AbandonedWork;
use crate::accounts::ledger::WorkKind;
use crate::storage::store::skip_unreadable;
use crate::telemetry::logs::ErrorChain;

use super::active::TaskRecorder;
use super::error::Error;
use super::service::TaskDeps;
use super::service::Tasks;
use super::task::Task;
use super::task::TaskStatus;

/// Interval between cleanups of CLI sessions that no stored task uses.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl Tasks {
    /// Ends the tasks that an earlier process left unfinished: started ones as interrupted, queued
    /// ones as cancelled. Gives back the shares of tasks that it had not created. Returns the number
    /// of ended tasks.
    ///
    /// On a shared store, takes the tasks of servers that are gone, and gives no shares back: another
    /// server may be creating their tasks. Those that any server may run, and that had not begun, go back
    /// into the queue.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        let store = &self.0.deps.store;
        if store.owners.is_shared() {
            return self.recover_abandoned().await;
        }
        let mut found = 0;
        for (owner, task) in store.load_all().await?.0 {
            if !task.status.is_over() {
                let task = self.with_stored_events(&owner, task).await?;
                found += usize::from(self.end_left(&owner, task).await);
            }
        }
        self.release_lost_shares().await?;
        Ok(found)
    }

    /// Ends the tasks of servers that are gone, or puts them back into the queue. Returns the number of
    /// ended tasks. Each is read before it is claimed, so that a failure leaves none to a server that
    /// does not end it.
    async fn recover_abandoned(&self) -> Result<usize, Error> {
        let store = &self.0.deps.store;
        let owners = &store.owners;
        let mut found = 0;
        for work in owners.list_abandoned(WorkKind::Task).await? {
            let (owner, id) = (work.owner.as_str(), work.id.as_str());
            // It is this server's again, which was taken for gone itself. Looked up before the record, so
            // that a run that ends meanwhile is seen as over.
            if self.0.active.get(owner, id).is_some() {
                owners.claim(&work).await?;
                continue;
            }
            let task = match skip_unreadable(store.load_task(owner, id).await)? {
                Some(Some(task)) if !task.status.is_over() => task,
                // It is over, or its server was gone before it was stored.
                Some(_) => {
                    store.forget_abandoned(&work).await?;
                    continue;
                }
                // Not looked at again before the end of this server: a later version can read it.
                None => {
                    owners.claim(&work).await?;
                    continue;
                }
            };
            if task.is_waiting_for_any_server() {
                self.give_back(&work, &task).await?;
                continue;
            }
            let task = self.with_stored_events(owner, task).await?;
            if owners.claim(&work).await? {
                found += usize::from(self.end_left(owner, task).await);
            }
        }
        Ok(found)
    }

    /// Counts the stored events of `task`, behind which its stored counter may lag.
    async fn with_stored_events(&self, owner: &str, mut task: Task) -> Result<Task, Error> {
        let store = &self.0.deps.store;
        while store
            .load_event(owner, &task.id, task.events)
            .await?
            .is_some()
        {
            task.events += 1;
        }
        Ok(task)
    }

    /// Ends `task`, which an earlier process has left. Returns false for a task of this process.
    async fn end_left(&self, owner: &str, task: Task) -> bool {
        let TaskDeps { store, kill, .. } = &self.0.deps;
        let status = if task.started_at.is_some() {
            TaskStatus::Interrupted
        } else {
            TaskStatus::Cancelled
        };
        let Some(log) = TaskRecorder::recover(&self.0.active, owner, task, store) else {
            return false;
        };
        log.record_end(|task| task.status = status, None, kill)
            .await;
        self.0.send_webhooks(&log.task()).await;
        true
    }

    /// Puts `task`, the one of `work`, which a server that is gone had not begun, back into the queue.
    async fn give_back(&self, work: &AbandonedWork, task: &Task) -> Result<(), Error> {
        if self.0.deps.store.requeue_abandoned(work, task).await? {
            tracing::info!(
                task.id = task.id,
                "waiting task of a lost server queued again"
            );
            self.0.queue_changed.notify_one();
        }
        Ok(())
    }

    /// Starts the periodic cleanup of CLI sessions that no stored task uses. Ends at shutdown.
    pub fn spawn_cleanup(&self) {
        let this = self.clone();
        let stop = self.0.deps.stop.clone();
        self.0.deps.tracker.spawn(async move {
            while stop
                .run_until_cancelled(sleep(CLEANUP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = this.forget_unused_sessions().await {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "task session cleanup failed"
                    );
                }
            }
        });
    }

    async fn forget_unused_sessions(&self) -> Result<(), Error> {
        let TaskDeps {
            runner: Some(runner),
            store,
            ..
        } = &self.0.deps
        else {
            return Ok(());
        };
        let (tasks, unreadable) = store.load_all().await?;
        if unreadable > 0 {
            // Which sessions belong to tasks that cannot be read is unknown, so none is forgotten.
            return Ok(());
        }
        runner.forget_other_sessions(
            tasks
                .iter()
                .filter_map(|(_, task)| task.session_id.parse().ok())
                .collect(),
        );
        Ok(())
    }
}
