//! Checks whether a task may start or continue: workspace, key and budgets.

use std::sync::Arc;

use super::outcome::TaskOutcome;
use super::outcome::TaskStopReason;
use super::run::TaskRun;
use super::service::TaskDeps;
use super::task_hold::TaskHold;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger;
use crate::accounts::ledger::BudgetHold;
use crate::domain::Caller;
use crate::domain::Money;
use crate::telemetry::logs::ErrorChain;

impl TaskRun {
    /// Creates the budget hold of the task from its ledger hold.
    pub(super) fn task_hold(&self, hold: BudgetHold) -> TaskHold {
        let TaskDeps { prices, config, .. } = &self.inner.deps;
        let prices = Arc::clone(prices);
        let max_output_tokens = config.max_output_tokens.into();
        let conversation = self.conversation_tokens;
        self.recorder
            .read(|task| TaskHold::new(hold, prices, task, conversation, max_output_tokens))
    }

    /// Checks key and workspace again when the task leaves the queue.
    pub(super) fn check_may_start(&self) -> Result<(), TaskOutcome> {
        let TaskDeps { config, .. } = &self.inner.deps;
        if !self.is_key_valid() {
            return Err(TaskOutcome::Killed {
                why: TaskStopReason::KeyRevoked,
                usage: None,
            });
        }
        let workspace = self.recorder.read(|task| task.workspace.clone());
        let found = config.roots.resolve(&workspace);
        if found.as_ref() == Ok(&workspace) {
            Ok(())
        } else {
            Err(TaskOutcome::workspace_changed())
        }
    }

    /// True if the key of the task is still valid for tasks.
    pub(super) fn is_key_valid(&self) -> bool {
        self.caller().is_ok()
    }

    /// Returns the caller of the task, with the key's current permissions.
    fn caller(&self) -> Result<Caller, AuthError> {
        self.inner
            .deps
            .keys
            .caller_of_owner(self.recorder.owner(), Some(Permission::Tasks))
    }

    /// Raises the hold to cover one more model call, within the budgets as they are now. Returns the
    /// maximum cost of the task, which is lower once tasks below it have a share of its budget.
    pub(super) async fn cover_next_call(
        &self,
        hold: &mut TaskHold,
    ) -> Result<Money, TaskStopReason> {
        self.inner.deps.keys.refresh().await.map_err(|error| {
            tracing::error!(error = %ErrorChain(&error), "task stopped, keys not readable");
            TaskStopReason::LedgerFailed
        })?;
        let grant = self.caller().map_err(|_| TaskStopReason::KeyRevoked)?.grant;
        let (model, max_budget) = self
            .recorder
            .read(|task| (task.model.clone(), task.max_budget()));
        let limit = self.spending_limit().await.map_err(|error| {
            tracing::error!(error = %ErrorChain(&error), "task stopped, family not readable");
            TaskStopReason::LedgerFailed
        })?;
        // The agent itself knows only the limit that it was started with.
        if limit < max_budget && hold.spent(&model) >= limit {
            tracing::info!("task stopped, budget of its family spent");
            return Err(TaskStopReason::FamilyOverBudget);
        }
        match hold.cover_next_call(&model, limit, grant).await {
            Ok(()) => Ok(limit),
            Err(ledger::Error::BudgetExceeded(over)) => {
                tracing::info!(error = %over, "task stopped, budget exceeded");
                Err(TaskStopReason::OverBudget)
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "task stopped, hold not stored");
                Err(TaskStopReason::LedgerFailed)
            }
        }
    }
}
