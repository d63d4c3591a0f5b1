//! Budgets of families: the shares of new tasks, and the limit of a root whose family has shares.

use super::error::Error;
use super::run::TaskRun;
use super::service::TaskDeps;
use super::service::Tasks;
use super::service::TasksInner;
use super::task::Task;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store;
use crate::storage::store::skip_unreadable;
use crate::telemetry::logs::ErrorChain;

impl TasksInner {
    /// Returns the price of what the task `id` has used so far; zero if it does not run.
    pub(super) fn spent_so_far(&self, owner: &str, id: &str) -> Money {
        let Some(live) = self.active.get(owner, id) else {
            return Money::ZERO;
        };
        let task = live.state();
        let usage = Usage::from(task.tokens);
        let calls = task.counted_calls();
        let prices = &self.deps.prices;
        let spent = prices.amount_of_calls(&task.model, &usage, calls);
        spent.money
    }
}

impl TaskRun {
    /// Reserves the share of a task below another one in the budget of the family. The share is its
    /// maximum cost from then on.
    ///
    /// # Errors
    /// Fails when less is left than the task asks for, the family is full, or the store fails.
    pub(super) async fn reserve_share(&self) -> Result<(), Error> {
        let task = self.recorder.task();
        let Some(lineage) = task.lineage else {
            return Ok(());
        };
        let owner = self.recorder.owner();
        let root_spent = self.inner.spent_so_far(owner, &lineage.root);
        let store = &self.inner.deps.store;
        let share = store
            .reserve_share(owner, &task.id, lineage, self.wanted_budget, root_spent)
            .await?;
        self.recorder
            .change(|task| task.max_budget_nanos = share.nanos());
        Ok(())
    }

    /// Gives the share of a task back that was not created after all.
    pub(super) async fn release_share(&self) {
        let task = self.recorder.task();
        if task.lineage.is_none() {
            return;
        }
        let owner = self.recorder.owner();
        let store = &self.inner.deps.store;
        let released = store.release_share(owner, task.root_id(), &task.id).await;
        if let Err(error) = released {
            // The next start finds a share without a task and gives it back.
            tracing::warn!(task.id = task.id, error = %ErrorChain(&error), "task share not released");
        }
    }

    /// Returns the maximum cost of the task: of a root, what the tasks below it leave of its budget.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn spending_limit(&self) -> Result<Money, store::Error> {
        let max_budget = self.recorder.read(Task::max_budget);
        if self.recorder.read(|task| task.lineage.is_some()) {
            return Ok(max_budget);
        }
        let id = self.recorder.read(|task| task.id.clone());
        let store = &self.inner.deps.store;
        let family = store.family(self.recorder.owner(), &id).await?;
        Ok(family.map_or(max_budget, |family| family.limit_of_root()))
    }
}

impl Tasks {
    /// Gives back the shares of tasks that were never stored, because an earlier process was killed
    /// while it created them.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn release_lost_shares(&self) -> Result<(), Error> {
        let TaskDeps { store, .. } = &self.0.deps;
        for (owner, root) in store.family_keys().await? {
            let found = skip_unreadable(store.family(&owner, &root).await)?;
            let Some(family) = found.flatten() else {
                continue;
            };
            for id in family.open_members() {
                // A task that is being created is live before it has a share.
                let is_live = self.0.live_task(&owner, &id).is_some();
                let stored = skip_unreadable(store.load_task(&owner, &id).await)?;
                let is_lost = matches!(stored, Some(None));
                if is_lost && !is_live {
                    store.release_share(&owner, &root, &id).await?;
                }
            }
        }
        Ok(())
    }
}
