//! What is told as budgets are used up.

use serde_json::Value;
use serde_json::json;

use super::Scope;
use super::What;
use super::Window;
use super::budget::Account;
use super::budget::Reached;
use crate::domain::InLog;

/// A budget of which a part is spent; told once for each part, and for each day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whose budget it is.
    pub scope: Scope,
    /// The id of the key or of the project, by `scope`.
    pub name: String,
    /// The project of the request that has used it up.
    pub project: String,
    /// For which time.
    pub window: Window,
    /// The first day of that time, `2026-11-01`.
    pub since: String,
    /// Of what.
    pub what: What,
    /// How much of it at least is spent, in percent: 50, 80 or 100.
    pub percent: u8,
    /// The most that may be spent: tokens or nano-dollars.
    pub cap: u64,
    /// What is spent, in the same unit.
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
    /// Logs it.
    pub fn log(&self) {
        let [cap, spent] = [self.cap, self.spent].map(|figure| self.what.show(figure));
        tracing::warn!(
            budget.scope = %self.scope,
            budget.name = %InLog(&self.name),
            budget.window = %self.window,
            budget.since = self.since,
            budget.percent = self.percent,
            project = self.project,
            "{spent} of a budget of {cap} are spent"
        );
    }

    /// The same for programs: tokens as numbers, money as strings of dollars.
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
