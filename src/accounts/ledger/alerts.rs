//! Alerts raised when a part of a budget is spent.

use serde_json::Value;
use serde_json::json;

use super::Scope;
use super::What;
use super::Window;
use super::budget::Account;
use super::budget::Reached;
use crate::domain::InLog;

/// A budget has reached an alert threshold. Raised once for each threshold and each day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Owner of the budget: key or project.
    pub scope: Scope,
    /// Id of the key or project, depending on `scope`.
    pub name: String,
    /// Project of the request that reached the threshold.
    pub project: String,
    /// Time window of the budget.
    pub window: Window,
    /// First day of the current window, such as `2026-11-01`.
    pub since: String,
    /// Unit of `cap` and `spent`.
    pub what: What,
    /// Threshold that was reached, in percent: 50, 80 or 100.
    pub percent: u8,
    /// Cap of the budget, in tokens or nano-dollars.
    pub cap: u64,
    /// Amount spent, in the same unit.
    pub spent: u64,
}

impl Alert {
    pub(super) fn new(account: &Account<'_>, project: &str, reached: Reached) -> Self {
        Self {
            scope: account.scope,
            name: account.name.to_owned(),
            project: project.to_owned(),
            window: account.window,
            since: account.span.first_day().to_string(),
            what: reached.what,
            percent: reached.percent,
            cap: reached.cap,
            spent: reached.spent,
        }
    }
    /// Logs the alert as a warning.
    pub fn log(&self) {
        let [cap, spent] = [self.cap, self.spent].map(|figure| self.what.show(figure));
        tracing::warn!(
            budget.scope = %self.scope,
            budget.name = %InLog(&self.name),
            budget.window = %self.window,
            budget.since = self.since,
            budget.percent = self.percent,
            budget.cap = cap,
            budget.spent = spent,
            project.id = self.project,
            "budget threshold reached"
        );
    }

    /// Converts the alert to JSON: tokens as numbers, money as strings in dollars.
    pub fn to_json(&self) -> Value {
        let [cap, spent] = [self.cap, self.spent].map(|figure| self.what.to_json(figure));
        json!({
            "scope": self.scope.to_string(),
            "key_id": (self.scope == Scope::Key).then_some(&self.name),
            "project_id": self.project,
            "window": self.window.to_string(),
            "since": self.since,
            "what": self.what.to_string(),
            "percent": self.percent,
            "cap": cap,
            "spent": spent,
        })
    }
}
