//! Alerts raised when a part of a budget is spent.

use serde_json::Value;
use serde_json::json;

use super::BudgetScope;
use super::BudgetUnit;
use super::BudgetWindow;
use super::budget::BudgetAccount;
use super::budget::ReachedThreshold;
use crate::domain::LogText;

/// A budget has reached an alert threshold. Raised once for each threshold and each day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Owner of the budget: key or project. End users raise no alerts.
    pub scope: BudgetScope,
    /// Id of the key or project, depending on `scope`.
    pub name: String,
    /// Project of the request that reached the threshold.
    pub project: String,
    /// Time window of the budget.
    pub window: BudgetWindow,
    /// First day of the current window, such as `2026-11-01`.
    pub since: String,
    /// Unit of `cap` and `spent`.
    pub unit: BudgetUnit,
    /// Threshold that was reached, in percent: 50, 80 or 100.
    pub percent: u8,
    /// Cap of the budget, in tokens or nano-dollars.
    pub cap: u64,
    /// Amount spent, in the same unit.
    pub spent: u64,
}

impl Alert {
    pub(super) fn new(
        account: &BudgetAccount<'_>,
        project: &str,
        reached: ReachedThreshold,
    ) -> Self {
        Self {
            scope: account.scope,
            name: account.name.to_owned(),
            project: project.to_owned(),
            window: account.window,
            since: account.span.first_day().to_string(),
            unit: reached.unit,
            percent: reached.percent,
            cap: reached.cap,
            spent: reached.spent,
        }
    }
    /// Logs the alert as a warning.
    pub fn log(&self) {
        let [cap, spent] = [self.cap, self.spent].map(|figure| self.unit.show(figure));
        tracing::warn!(
            budget.scope = %self.scope,
            budget.name = %LogText(&self.name),
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
        let [cap, spent] = [self.cap, self.spent].map(|figure| self.unit.to_json(figure));
        json!({
            "scope": self.scope.to_string(),
            "key_id": (self.scope == BudgetScope::Key).then_some(&self.name),
            "project_id": self.project,
            "window": self.window.to_string(),
            "since": self.since,
            "what": self.unit.to_string(),
            "percent": self.percent,
            "cap": cap,
            "spent": spent,
        })
    }
}
