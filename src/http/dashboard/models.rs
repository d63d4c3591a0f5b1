//! `/dashboard/api/models`: which models answer, what they cost, and what is saved.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use super::period::ReportPeriod;
use super::sums::clamped;
use super::sums::decimal;
use super::sums::share;
use crate::accounts::ledger;
use crate::accounts::ledger::GroupBy;
use crate::accounts::ledger::UsageTotals;
use crate::engine::routing::Router;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;

/// Shows models, prompt cache, savings and the choices of routing.
pub(super) async fn show_models(
    Extension(dashboard): Extension<DashboardServices>,
    State(router): State<Arc<Router>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let period = ReportPeriod::read(&query)?;
    let query = period.report(GroupBy::Model);
    let mut report = dashboard.admin.ledger.usage(&query).await?;
    // The report as clients of the usage API get it has the savings in words.
    let shown = ledger::to_json(&report, None);
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    let total = report.totals.cost_nanos;
    report
        .groups
        .sort_by_key(|(_, totals)| Reverse(totals.cost_nanos));
    let models = report.groups.iter();
    let models: Vec<Value> = models
        .map(|(model, totals)| render_model(model, totals, total))
        .collect();
    let body = json!({
        "object": "dashboard.models",
        "since": dashboard.node.started_at,
        "period": period.name(),
        "savings": shown["savings"],
        "prompt_cache": render_prompt_cache(&report.totals),
        "models": models,
        "routing": render_routing(&router),
    });
    Ok(admin::json(StatusCode::OK, &body))
}

fn render_model(model: &str, totals: &UsageTotals, total: u128) -> Value {
    json!({
        "model": model,
        "requests": totals.requests,
        "input_tokens": clamped(totals.input_tokens),
        "cache_read_tokens": clamped(totals.cache_read_tokens),
        "cache_write_tokens": clamped(totals.cache_write_tokens),
        "output_tokens": clamped(totals.output_tokens),
        "cost_nano_usd": clamped(totals.cost_nanos),
        "cost_usd": decimal(totals.cost_nanos),
        "share": share(totals.cost_nanos, total),
    })
}

fn render_prompt_cache(totals: &UsageTotals) -> Value {
    let read = totals.cache_read_tokens;
    let written = totals.cache_write_tokens;
    let uncached = totals.input_tokens;
    json!({
        "read_tokens": clamped(read),
        "written_tokens": clamped(written),
        "uncached_tokens": clamped(uncached),
        "hit_ratio": share(read, read + written + uncached),
    })
}

fn render_routing(router: &Router) -> Vec<Value> {
    let counts = router.choice_counts().into_iter();
    let rows = counts.map(|count| {
        json!({
            "rule": count.rule.name(),
            "model": count.model.as_str(),
            "turns": count.turns,
        })
    });
    rows.collect()
}
