//! Checks whether a task may start or continue: workspace, key and budgets.

use std::sync::Arc;

use super::end::End;
use super::end::Why;
use super::funds::Funds;
use super::run::Run;
use super::service::Parts;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger;
use crate::accounts::ledger::Hold;
use crate::domain::Caller;

impl Run {
    /// Creates the budget hold of the task from its ledger hold.
    pub(super) fn funds(&self, hold: Hold) -> Funds {
        let Parts { prices, config, .. } = &self.inner.parts;
        let (prices, most) = (Arc::clone(prices), config.max_output_tokens.into());
        Funds::new(hold, prices, &self.log.task(), self.conversation, most)
    }

    /// Checks key and workspace again when the task leaves the queue.
    pub(super) fn check(&self) -> Result<(), End> {
        let Parts { config, .. } = &self.inner.parts;
        if !self.may_go_on() {
            return Err(End::Killed {
                why: Why::Revoked,
                usage: None,
            });
        }
        let task = self.log.task();
        let found = config.roots.resolve(&task.workspace);
        if found.as_ref() == Ok(&task.workspace) {
            Ok(())
        } else {
            Err(End::moved())
        }
    }

    /// True if the key of the task is still valid for tasks.
    pub(super) fn may_go_on(&self) -> bool {
        self.caller().is_ok()
    }

    /// Returns the caller of the task, with the key's current permissions.
    fn caller(&self) -> Result<Caller, AuthError> {
        self.inner
            .parts
            .keys
            .caller_of(&self.log.owner, Some(Permission::Tasks))
    }

    /// Raises the hold to cover one more model call, within the budgets as they are now.
    pub(super) async fn cover_next_call(&self, funds: &mut Funds) -> Result<(), Why> {
        let grant = self.caller().map_err(|_| Why::Revoked)?.grant;
        let (model, most) = self
            .log
            .read(|task| (task.model.clone(), task.max_budget()));
        match funds.cover_next_call(&model, most, grant).await {
            Ok(()) => Ok(()),
            Err(ledger::Error::Over(over)) => {
                tracing::info!(error = %over, "task stopped: no budget for another call");
                Err(Why::OverBudget)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "task stopped: hold cannot be stored");
                Err(Why::Unpaid)
            }
        }
    }
}
