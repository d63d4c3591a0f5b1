//! `/dashboard/api/spenders`: the keys that cost most.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::extract::Extension;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use super::owners::OwnerNames;
use super::period::ReportPeriod;
use super::sums::clamped;
use super::sums::decimal;
use super::sums::share;
use crate::accounts::ledger::GroupBy;
use crate::accounts::ledger::UsageTotals;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;

/// Maximum number of keys in an answer.
const MAX_SPENDERS: usize = 20;

/// Lists the keys by their cost in a period, the dearest first.
pub(super) async fn list_spenders(
    Extension(dashboard): Extension<DashboardServices>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let period = ReportPeriod::read(&query)?;
    let report = period.report(GroupBy::Key);
    let mut report = dashboard.admin.ledger.usage(&report).await?;
    let names = OwnerNames::read(&dashboard.admin.registry).await?;
    let total = report.totals.cost_nanos;
    report
        .groups
        .sort_by_key(|(_, totals)| Reverse(totals.cost_nanos));
    let shown = report.groups.iter().take(MAX_SPENDERS);
    let rows: Vec<Value> = shown
        .map(|(id, totals)| render_spender(&names, id, totals, total))
        .collect();
    let body = json!({
        "object": "list",
        "period": period.name(),
        "total_nano_usd": clamped(total),
        "data": rows,
    });
    Ok(admin::json(StatusCode::OK, &body))
}

fn render_spender(names: &OwnerNames, id: &str, totals: &UsageTotals, total: u128) -> Value {
    let key = names.key(id);
    json!({
        "key_id": id,
        "name": key.map(|key| &key.name),
        "project_id": key.map(|key| &key.project),
        "requests": totals.requests,
        "total_tokens": clamped(totals.total_tokens),
        "cost_nano_usd": clamped(totals.cost_nanos),
        "cost_usd": decimal(totals.cost_nanos),
        "share": share(totals.cost_nanos, total),
    })
}
