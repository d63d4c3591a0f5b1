//! Start-up of tasks: agents that work in folders of this machine.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Accounting;
use super::startup_context::StartupContext;
use crate::accounts::auth::Keys;
use crate::engine::agent::AgentRunner;
use crate::services::tasks;
use crate::services::tasks::TaskDeps;
use crate::services::tasks::TaskStore;
use crate::services::tasks::Tasks;

impl StartupContext<'_> {
    /// Starts the task service with the runner `agents`, and marks running tasks of an earlier
    /// server, and of other servers that are gone, as interrupted.
    ///
    /// Returns `None` if no folder is configured for agents.
    ///
    /// # Errors
    /// Fails when the store cannot be used.
    pub(super) async fn start_tasks(
        &self,
        accounting: &Accounting,
        keys: &Arc<Keys>,
        agents: Option<Arc<dyn AgentRunner>>,
    ) -> anyhow::Result<Option<Tasks>> {
        let settings = &self.settings.tasks;
        if settings.roots.is_empty() {
            return Ok(None);
        }
        for root in settings.roots.iter().filter(|root| !root.is_dir()) {
            tracing::warn!(path = %root.display(), "folder of `tasks.roots` missing");
        }
        let owners = accounting.work_owners();
        let store = TaskStore::new(&self.store, self.settings.stored_tasks);
        let store = store
            .with_owners(owners.clone())
            .with_locks(accounting.locks.clone());
        store.spawn_cleanup(&self.shutdown.started());
        let tasks = Tasks::new(TaskDeps {
            runner: agents,
            keys: Arc::clone(keys),
            store,
            ledger: accounting.ledger.clone(),
            prices: Arc::clone(&accounting.prices),
            rate_limits: accounting.limits.clone(),
            webhooks: Some(accounting.webhooks.clone()),
            hooks: self.hooks.clone(),
            metrics: self.metrics.tasks.clone(),
            tracer: self.traces.tracer(),
            tracker: TaskTracker::new(),
            stop: self.shutdown.started(),
            kill: self.shutdown.drain_expired(),
            config: self.task_config(),
        });
        tasks.spawn_cleanup();
        match tasks.recover().await? {
            0 => {}
            cut_off => tracing::warn!(cut_off, "tasks interrupted by last shutdown"),
        }
        if owners.is_shared() && accounting.is_only_server {
            tasks.release_lost_shares().await?;
        }
        tasks.spawn_queue();
        Ok(Some(tasks))
    }

    /// Returns the configuration of tasks, none of which may work in the data directory.
    fn task_config(&self) -> tasks::Config {
        let tasks = self.settings.tasks.clone();
        let data_dir = &self.settings.server.data_dir;
        tasks::Config {
            roots: tasks.roots.excluding(data_dir.clone()),
            ..tasks
        }
    }
}
