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
        let mut found = 0;
        for (owner, mut task) in self.left_tasks().await? {
            if task.status.is_over() {
                store.owners.end(WorkKind::Task, &owner, &task.id).await?;
                continue;
            }
            if task.is_waiting_for_any_server() && store.owners.is_shared() {
                self.give_back(&owner, &task).await?;
                continue;
            }
            // The stored counter may lag behind the stored events.
            while store
                .load_event(&owner, &task.id, task.events)
                .await?
                .is_some()
            {
                task.events += 1;
            }
            let status = if task.started_at.is_some() {
                TaskStatus::Interrupted
            } else {
                TaskStatus::Cancelled
            };
            let Some(log) = TaskRecorder::recover(&self.0.active, &owner, task, store) else {
                continue;
            };
            log.record_end(|task| task.status = status, None, &self.0.deps.kill)
                .await;
            self.0.send_webhooks(&log.task()).await;
            found += 1;
        }
        if !store.owners.is_shared() {
            self.release_lost_shares().await?;
        }
        Ok(found)
    }

    /// Puts `task`, which a server that is gone had not begun, back into the queue, unless it is registered
    /// here: this server was taken for gone itself.
    async fn give_back(&self, owner: &str, task: &Task) -> Result<(), Error> {
        if self.0.active.get(owner, &task.id).is_some() {
            return Ok(());
        }
        let is_returned = self.0.deps.store.return_to_queue(owner, task).await?;
        if is_returned {
            tracing::info!(
                task.id = task.id,
                "waiting task of a lost server queued again"
            );
            self.0.queue_changed.notify_one();
        }
        Ok(())
    }

    /// Returns the tasks that other servers may have left: all tasks, or those of servers that are
    /// gone.
    async fn left_tasks(&self) -> Result<Vec<(String, Task)>, Error> {
        let store = &self.0.deps.store;
        if !store.owners.is_shared() {
            return Ok(store.load_all().await?.0);
        }
        let mut tasks = Vec::new();
        for work in store.owners.claim_abandoned(WorkKind::Task).await? {
            let AbandonedWork { owner, id, .. } = work;
            let loaded = store.load_task(&owner, &id).await;
            match skip_unreadable(loaded)? {
                Some(Some(task)) => tasks.push((owner, task)),
                // Its server was gone before it was stored.
                Some(None) => store.owners.end(WorkKind::Task, &owner, &id).await?,
                None => {}
            }
        }
        Ok(tasks)
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
