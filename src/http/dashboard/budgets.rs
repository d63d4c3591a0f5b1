//! `/dashboard/api/budgets`: what is left of each budget, how it was spent, and when it ends.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use super::forecast::BudgetForecast;
use super::forecast::BudgetTimes;
use super::owners::read_keys;
use super::owners::read_projects;
use crate::accounts::ledger::BudgetOwner;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::ledger::BudgetStatus;
use crate::accounts::ledger::BudgetWindow;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::ledger::SpendingHistory;
use crate::domain::Amount;
use crate::domain::Money;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;

/// Maximum number of budgets in an answer.
const MAX_BUDGETS: usize = 200;

/// Spending histories of the present day and month, where budgets need them.
struct SpendingWindows {
    day: Option<SpendingHistory>,
    month: Option<SpendingHistory>,
}

/// Lists the budgets of keys and projects that have a cap, the most used first.
pub(super) async fn list_budgets(
    Extension(dashboard): Extension<DashboardServices>,
) -> Result<Response, ApiError> {
    let ledger = &dashboard.admin.ledger;
    let (owners, names) = read_owners(&dashboard).await?;
    let mut budgets = ledger.budgets_of(&owners).await?;
    budgets.sort_by_key(|(id, status)| (Reverse(permille_used(status)), id.clone()));
    let has_more = budgets.len() > MAX_BUDGETS;
    budgets.truncate(MAX_BUDGETS);
    let histories = SpendingWindows::read(ledger, &budgets).await?;
    let now = ledger.now();
    let rows: Vec<Value> = budgets
        .iter()
        .map(|(id, status)| {
            let name = names.get(&(status.scope, id.clone()));
            let mut row = render_budget(id, status, now);
            row["name"] = json!(name);
            row["series"] = render_series(histories.of(status.window), status.scope, id);
            row
        })
        .collect();
    let body = json!({"object": "list", "now": now, "has_more": has_more, "data": rows});
    Ok(admin::json(StatusCode::OK, &body))
}

/// Owners of budgets, with the names of all of them.
type NamedOwners = (Vec<BudgetOwner>, HashMap<(BudgetScope, String), String>);

async fn read_owners(dashboard: &DashboardServices) -> Result<NamedOwners, ApiError> {
    let registry = &dashboard.admin.registry;
    let mut owners = Vec::new();
    let mut names = HashMap::new();
    let (projects, _) = read_projects(registry).await?;
    for project in projects {
        let scope = BudgetScope::Project;
        let id = project.id;
        names.insert((scope, id.clone()), project.name);
        let budget = project.budget;
        owners.push(BudgetOwner { scope, id, budget });
    }
    let (keys, _) = read_keys(registry).await?;
    for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
        let scope = BudgetScope::Key;
        let id = key.id();
        names.insert((scope, id.clone()), key.name);
        let budget = key.policy.budget;
        owners.push(BudgetOwner { scope, id, budget });
    }
    Ok((owners, names))
}

impl SpendingWindows {
    async fn read(
        ledger: &LedgerReader,
        budgets: &[(String, BudgetStatus)],
    ) -> Result<Self, ApiError> {
        let has = |window: BudgetWindow| budgets.iter().any(|(_, status)| status.window == window);
        let mut windows = Self {
            day: None,
            month: None,
        };
        // Reads each charge of the day.
        if has(BudgetWindow::Day) {
            windows.day = Some(ledger.spending_today().await?);
        }
        if has(BudgetWindow::Month) {
            windows.month = Some(ledger.spending_this_month().await?);
        }
        Ok(windows)
    }

    fn of(&self, window: BudgetWindow) -> Option<&SpendingHistory> {
        match window {
            BudgetWindow::Day => self.day.as_ref(),
            BudgetWindow::Month => self.month.as_ref(),
        }
    }
}

fn render_budget(id: &str, status: &BudgetStatus, now: u64) -> Value {
    let BudgetStatus {
        scope,
        window,
        used,
        cap,
        starts_at,
        resets_at,
    } = *status;
    let times = BudgetTimes {
        starts_at,
        now,
        resets_at,
    };
    json!({
        "scope": scope.to_string(),
        "id": id,
        "window": window.to_string(),
        "starts_at": starts_at,
        "resets_at": resets_at,
        "money": cap.money.map(|cap| render_money(used.money, cap, times)),
        "tokens": cap.tokens.map(|cap| render_tokens(used.tokens, cap, times)),
    })
}

fn render_money(used: Money, cap: Money, times: BudgetTimes) -> Value {
    let left = (cap - used).max(Money::ZERO);
    let forecast = BudgetForecast::new(nanos(used), nanos(cap), times);
    json!({
        "cap_nano_usd": cap.nanos(),
        "used_nano_usd": used.nanos(),
        "left_nano_usd": left.nanos(),
        "cap_usd": cap.to_decimal(),
        "used_usd": used.to_decimal(),
        "left_usd": left.to_decimal(),
        "forecast": forecast.to_json("_nano_usd"),
    })
}

fn render_tokens(used: u64, cap: u64, times: BudgetTimes) -> Value {
    let forecast = BudgetForecast::new(used.into(), cap.into(), times);
    json!({
        "cap": cap,
        "used": used,
        "left": cap.saturating_sub(used),
        "forecast": forecast.to_json(""),
    })
}

fn render_series(history: Option<&SpendingHistory>, scope: BudgetScope, id: &str) -> Value {
    let Some(history) = history else {
        return Value::Null;
    };
    let steps = history.cumulative(scope, id);
    let money: Vec<i64> = steps.iter().map(|step| step.money.nanos()).collect();
    let tokens: Vec<u64> = steps.iter().map(|step| step.tokens).collect();
    json!({
        "step_seconds": history.step_seconds,
        "starts_at": history.starts_at,
        "spent_nano_usd": money,
        "spent_tokens": tokens,
    })
}

/// Returns the used share of the cap that is nearest to its end, in thousandths.
fn permille_used(status: &BudgetStatus) -> u128 {
    let Amount { tokens, money } = status.used;
    let share = |used: u128, cap: u128| match cap {
        0 => u128::MAX,
        cap => used.saturating_mul(1000) / cap,
    };
    let of_money = status.cap.money.map(|cap| share(nanos(money), nanos(cap)));
    let of_tokens = status
        .cap
        .tokens
        .map(|cap| share(tokens.into(), cap.into()));
    of_money.max(of_tokens).unwrap_or_default()
}

/// Returns nano-dollars of an amount that is not negative; a negative one counts as zero.
fn nanos(money: Money) -> u128 {
    u128::try_from(money.nanos()).unwrap_or_default()
}
