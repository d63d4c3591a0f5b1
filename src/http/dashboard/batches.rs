//! `/dashboard/api/batches`: the batches of all projects, for the operator.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use super::owners::OwnerNames;
use crate::accounts::auth::Keys;
use crate::accounts::pricing::Prices;
use crate::api::openai::batches::Batch;
use crate::api::openai::batches::BatchStatus;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::http::ApiServices;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;
use crate::http::extract::number;
use crate::services::batches::BatchFailure;
use crate::services::batches::BatchFamily;
use crate::services::batches::OwnedBatch;

const MAX_PAGE_SIZE: usize = 500;
const DEFAULT_PAGE_SIZE: usize = 100;
/// Maximum number of failed lines in an answer.
const MAX_FAILURES: usize = 50;

/// Lists the batches: unfinished ones first, then the newest first.
pub(super) async fn list_batches(
    State(ApiServices { batches, .. }): State<ApiServices>,
    State(keys): State<Arc<Keys>>,
    Extension(dashboard): Extension<DashboardServices>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let limit = number(&query, "limit", 1..=MAX_PAGE_SIZE)?.unwrap_or(DEFAULT_PAGE_SIZE);
    let mut all = batches.list_all_projects().await?;
    let has_more = all.len() > limit;
    all.truncate(limit);
    let names = OwnerNames::read(&dashboard.admin.registry).await?;
    let now = unix_now();
    let rows: Vec<Value> = all
        .iter()
        .map(|found| {
            let mut row = render_batch(found, &dashboard.prices, now);
            row["owner"] = names.render(&keys, &found.owner);
            row
        })
        .collect();
    let body = json!({"object": "list", "now": now, "has_more": has_more, "data": rows});
    Ok(admin::json(StatusCode::OK, &body))
}

/// Lists the first failed lines of a batch.
pub(super) async fn list_failures(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = batches.find(&id).await?;
    let (failures, has_more) = batches.failures(&found, MAX_FAILURES).await?;
    let rows: Vec<Value> = failures.iter().map(render_failure).collect();
    let body = json!({"object": "list", "has_more": has_more, "data": rows});
    Ok(admin::json(StatusCode::OK, &body))
}

/// Cancels a batch. What is answered so far is kept.
pub(super) async fn cancel_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    State(keys): State<Arc<Keys>>,
    Extension(dashboard): Extension<DashboardServices>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = batches.find(&id).await?;
    let batch = batches.cancel_found(&found).await?;
    let found = OwnedBatch { batch, ..found };
    let names = OwnerNames::read(&dashboard.admin.registry).await?;
    let mut row = render_batch(&found, &dashboard.prices, unix_now());
    row["owner"] = names.render(&keys, &found.owner);
    Ok(admin::json(StatusCode::OK, &row))
}

fn render_batch(found: &OwnedBatch, prices: &Prices, now: u64) -> Value {
    let batch = &found.batch;
    let mut row: Value = serde_json::from_str(&batch.to_json()).unwrap_or_default();
    row["family"] = json!(match found.family() {
        BatchFamily::OpenAi => "openai",
        BatchFamily::Messages => "messages",
    });
    row["project_id"] = json!(found.project);
    row["progress"] = json!(progress(batch));
    row["seconds_left"] = json!(seconds_left(batch, now));
    row["cost_nano_usd"] = json!(cost_nanos(batch, prices));
    row
}

/// Returns the part of the lines that is done; `None` before they are counted.
fn progress(batch: &Batch) -> Option<f64> {
    let counts = batch.request_counts;
    let done = counts.completed + counts.failed;
    (counts.total > 0).then(|| done as f64 / counts.total as f64)
}

/// Returns the time that is left at the rate since the start; `None` if it cannot be told.
fn seconds_left(batch: &Batch, now: u64) -> Option<u64> {
    if batch.status != BatchStatus::InProgress {
        return None;
    }
    let counts = batch.request_counts;
    let done = counts.completed + counts.failed;
    let elapsed = now.saturating_sub(batch.in_progress_at?);
    let left = counts.total.saturating_sub(done);
    elapsed.saturating_mul(left).checked_div(done)
}

/// Returns the estimated cost of the answered lines, if they name one model that has a price.
fn cost_nanos(batch: &Batch, prices: &Prices) -> Option<i64> {
    let usage = Usage::from(batch.usage?);
    let cost = prices.cost(batch.model.as_deref()?, &usage)?;
    Some(cost.nanos())
}

fn render_failure(failure: &BatchFailure) -> Value {
    json!({
        "custom_id": failure.custom_id,
        "status": failure.status,
        "code": failure.code,
        "message": failure.message,
    })
}
