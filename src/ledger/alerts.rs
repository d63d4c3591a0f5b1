//! What is told as budgets are used up.
//!
//! A log line is the only one who hears of it so far. A signed webhook for each project would read the same channel.

use tokio::sync::mpsc::UnboundedReceiver;

use super::Scope;
use super::What;
use super::Window;
use super::budget::Account;
use super::budget::Reached;

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
}

/// Logs each alert, until the ledger is gone.
pub async fn log_alerts(mut alerts: UnboundedReceiver<Alert>) {
    while let Some(alert) = alerts.recv().await {
        let [cap, spent] = [alert.cap, alert.spent].map(|figure| alert.what.show(figure));
        tracing::warn!(
            budget.scope = %alert.scope,
            budget.name = alert.name,
            budget.window = %alert.window,
            budget.since = alert.since,
            budget.percent = alert.percent,
            project = alert.project,
            "{spent} of a budget of {cap} are spent"
        );
    }
}
