//! `/admin/status`: what the server does now, for `claude-switchboard top`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;
use serde_json::Value;
use serde_json::json as object;

use super::json;
use super::sign_ins::render_sign_ins;
use crate::accounts::auth::Registry;
use crate::accounts::auth::RegistryPage;
use crate::accounts::ledger::BudgetOwner;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::ledger::BudgetStatus;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::ops::render_workers;
use crate::http::state::LiveSources;
use crate::services::tasks::Tasks;
use crate::telemetry::metrics::MetricTotals;
use crate::telemetry::metrics::TotalKind;

/// Maximum number of budgets that are shown, those with the least left.
const MAX_SHOWN_BUDGETS: usize = 5;
/// Maximum numbers of projects and of keys whose budgets are compared.
const MAX_COMPARED_BUDGETS: usize = 200;
/// Number of projects that are read at a time.
const PROJECT_PAGE_SIZE: usize = 100;
const NANOS_PER_DOLLAR: f64 = 1e9;

/// Ends of turns, by their names in the answer.
const TURNS: [(&str, TotalKind); 4] = [
    ("answered", TotalKind::Answered),
    ("refused", TotalKind::Refused),
    ("failed", TotalKind::Failed),
    ("cancelled", TotalKind::Cancelled),
];

/// Kinds of tokens, by their names in the answer.
const TOKENS: [(&str, TotalKind); 5] = [
    ("input", TotalKind::InputTokens),
    ("cache_read", TotalKind::CacheReadTokens),
    ("cache_write", TotalKind::CacheWriteTokens),
    ("output", TotalKind::OutputTokens),
    ("estimated", TotalKind::EstimatedTokens),
];

/// Sums of the usage of today, over all projects.
#[derive(Debug, Default)]
struct UsageToday {
    requests: u64,
    total_tokens: u128,
    cost_nanos: u128,
}

/// Returns the state of the server, its totals since the start, and the usage of today.
pub(super) async fn status(
    State(live): State<Option<LiveSources>>,
    State(registry): State<Registry>,
    State(ledger): State<LedgerReader>,
) -> Result<Response, ApiError> {
    let live = live.ok_or_else(|| {
        let message = "A command answers here, which has no state to show. Ask a running server.";
        ApiError::new(ErrorKind::UnknownUrl, message)
    })?;
    let today = usage_today(&registry, &ledger).await?;
    let budgets = nearest_budgets(&registry, &ledger).await?;
    let mut body = live_state(&live);
    body["today"] = today.render();
    body["budgets"] = budgets.into();
    Ok(json(StatusCode::OK, &body))
}

/// Renders what is known without a read of the store.
fn live_state(live: &LiveSources) -> Value {
    let readiness = live.turns.readiness();
    let totals = live.metrics.totals();
    let tasks = live.tasks.as_ref();
    let tasks = tasks.map_or_else(|| Tasks::STATES.map(|state| (state, 0)), Tasks::counts);
    object!({
        "object": "status",
        "version": env!("CARGO_PKG_VERSION"),
        "now": unix_now(),
        "started_at": live.started_at,
        "sign_in": live.sign_in,
        "sign_ins": render_sign_ins(&readiness.sign_ins),
        "ready": readiness.problems.is_empty(),
        "problems": readiness.problems,
        "workers": render_workers(readiness.workers),
        "waiting": readiness.waiting,
        "turns": counts(&totals, &TURNS),
        "tokens": counts(&totals, &TOKENS),
        "cost_usd": totals.counts.get(TotalKind::CostNanos) as f64 / NANOS_PER_DOLLAR,
        "first_token_buckets": totals.first_tokens.to_pairs(),
        "tasks": by_state(&tasks),
        "batches": by_state(&live.batches.counts()),
    })
}

fn counts(totals: &MetricTotals, kinds: &[(&str, TotalKind)]) -> Map<String, Value> {
    let named = kinds.iter().map(|(name, kind)| {
        let total = totals.counts.get(*kind);
        ((*name).to_owned(), Value::from(total))
    });
    named.collect()
}

fn by_state(states: &[(&'static str, usize)]) -> Map<String, Value> {
    let named = states
        .iter()
        .map(|(state, count)| ((*state).to_owned(), Value::from(*count)));
    named.collect()
}

/// Adds up the usage of today, project by project: so only records of today are read.
async fn usage_today(registry: &Registry, ledger: &LedgerReader) -> Result<UsageToday, ApiError> {
    let mut today = UsageToday::default();
    let mut after = None;
    loop {
        let page = RegistryPage {
            limit: PROJECT_PAGE_SIZE,
            after,
        };
        let (projects, has_more) = registry.projects(page).await?;
        for project in &projects {
            let query = UsageQuery {
                project: Some(project.id.clone()),
                key: None,
                period: UsagePeriod::Day,
                group_by: None,
            };
            let totals = ledger.usage(&query).await?.totals;
            today.requests += totals.requests;
            today.total_tokens += totals.total_tokens;
            today.cost_nanos += totals.cost_nanos;
        }
        after = projects.last().map(|project| project.id.clone());
        if !has_more || after.is_none() {
            return Ok(today);
        }
    }
}

impl UsageToday {
    fn render(&self) -> Value {
        object!({
            "requests": self.requests,
            "total_tokens": u64::try_from(self.total_tokens).unwrap_or(u64::MAX),
            "cost_usd": self.cost_nanos as f64 / NANOS_PER_DOLLAR,
        })
    }
}

/// Returns the budgets in dollars that have the least left, as a share of their caps.
async fn nearest_budgets(
    registry: &Registry,
    ledger: &LedgerReader,
) -> Result<Vec<Value>, ApiError> {
    let projects = registry.capped_projects(MAX_COMPARED_BUDGETS).into_iter();
    let projects = projects.map(|(id, budget)| BudgetOwner {
        scope: BudgetScope::Project,
        id,
        budget,
    });
    let keys = registry.capped_keys(MAX_COMPARED_BUDGETS).into_iter();
    let keys = keys.map(|(id, budget)| BudgetOwner {
        scope: BudgetScope::Key,
        id,
        budget,
    });
    let owners: Vec<BudgetOwner> = projects.chain(keys).collect();
    let budgets = ledger.budgets_of(&owners).await?;
    let mut shares: Vec<(f64, Value)> = budgets
        .iter()
        .filter_map(|(id, status)| budget_share(id, status))
        .collect();
    shares.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    shares.truncate(MAX_SHOWN_BUDGETS);
    Ok(shares.into_iter().map(|(_, budget)| budget).collect())
}

/// Returns how much of a budget is used, in percent, and its description; `None` if it caps only
/// tokens.
fn budget_share(id: &str, status: &BudgetStatus) -> Option<(f64, Value)> {
    let cap = status.cap.money?;
    let used = status.used.money;
    let percent = if cap > Money::ZERO {
        used.dollars() / cap.dollars() * 100.0
    } else {
        100.0
    };
    let description = object!({
        "scope": status.scope.to_string(),
        "id": id,
        "window": status.window.to_string(),
        "used": used.to_decimal(),
        "cap": cap.to_decimal(),
        "used_percent": percent,
        "resets_at": status.resets_at,
    });
    Some((percent, description))
}
