//! Endpoints of operations: `/health` and `/ready`, which are public, and `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;
use serde_json::json;

use super::budget_levels::read_budgets;
use super::error::ApiError;
use super::error::ErrorKind;
use super::state::ApiServices;
use super::state::AppState;
use super::state::MetricsSources;
use crate::accounts::ledger::LedgerReader;
use crate::engine::gateway::AnswerCache;
use crate::engine::gateway::SignInLevel;
use crate::engine::gateway::TurnPipeline;
use crate::engine::gateway::WorkerCounts;
use crate::services::tasks::Tasks;
use crate::telemetry::metrics::MetricsFormat;
use crate::telemetry::metrics::MetricsSnapshot;
use crate::telemetry::metrics::PlanWindowLevel;
use crate::telemetry::metrics::SignInStateLevel;

/// Reports that the process is alive.
pub(super) async fn health() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}

/// Reports if turns can be served now, and otherwise what to do.
pub(super) async fn ready(State(turns): State<TurnPipeline>) -> impl IntoResponse {
    let readiness = turns.readiness();
    let (status, word) = if readiness.problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let body = json!({
        "status": word,
        "problems": readiness.problems,
        "degraded": readiness.degraded,
        "workers": render_workers(readiness.workers),
        "waiting": readiness.waiting,
    });
    (status, Json(body))
}

/// Renders the numbers of workers by state, as all endpoints show them.
pub(super) fn render_workers(workers: WorkerCounts) -> Value {
    json!({
        "max": workers.max,
        "starting": workers.starting,
        "idle": workers.idle,
        "busy": workers.busy,
        "resetting": workers.resetting,
    })
}

/// Returns the metrics for Prometheus.
pub(super) async fn metrics(
    State(turns): State<TurnPipeline>,
    State(sources): State<MetricsSources>,
    State(ledger): State<LedgerReader>,
    State(services): State<ApiServices>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let budgets = read_budgets(&sources, &ledger).await;
    let budgets = budgets.unwrap_or_else(|error| {
        // The other metrics say what is wrong with the store.
        tracing::warn!(error = error.log_text(), "budgets not read for metrics");
        Vec::new()
    });
    let snapshot = MetricsSnapshot {
        budgets,
        ..snapshot(&turns, &sources.cache, &services)
    };
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    let format = MetricsFormat::from_accept(accept.unwrap_or_default());
    let rendered = sources.process.render(&snapshot, format);
    let rendered = rendered.map_err(|error| {
        ApiError::new(ErrorKind::Internal, "The figures cannot be written.").caused_by(error)
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], rendered))
}

/// Returns a reader of the levels and totals that the parts of `state` keep.
pub fn level_reader(state: &AppState) -> impl Fn() -> MetricsSnapshot + Send + Sync + use<> {
    let turns = state.turns.clone();
    let cache = state.metrics.cache.clone();
    let services = state.services.clone();
    move || snapshot(&turns, &cache, &services)
}

/// Reads the levels and totals that other parts keep.
fn snapshot(turns: &TurnPipeline, cache: &AnswerCache, services: &ApiServices) -> MetricsSnapshot {
    let readiness = turns.readiness();
    let cache = cache.stats();
    let workers = readiness.workers;
    let tasks = services.tasks.as_ref();
    MetricsSnapshot {
        cache_hits: cache.hits,
        cache_joined: cache.joined,
        cache_shared_hits: cache.shared_hits,
        cache_shared_waits: cache.shared_waits,
        cache_shared_errors: cache.shared_errors,
        cache_evicted: cache.evicted,
        cache_misses: cache.misses,
        cache_bypassed: cache.bypassed,
        cache_entries: cache.entries,
        cache_bytes: cache.bytes,
        workers: vec![
            ("starting", workers.starting),
            ("idle", workers.idle),
            ("busy", workers.busy),
            ("resetting", workers.resetting),
        ],
        max_workers: workers.max,
        waiting: readiness.waiting,
        tasks: tasks
            .map_or_else(|| Tasks::STATES.map(|state| (state, 0)), Tasks::counts)
            .into(),
        batches: services.batches.counts().into(),
        circuits: readiness.circuits,
        budgets: Vec::new(),
        plan_windows: plan_windows(&readiness.sign_ins),
        sign_ins: sign_in_states(&readiness.sign_ins),
        is_ready: readiness.problems.is_empty(),
        problems: readiness.problems,
    }
}

/// Returns the sign-ins, with whether turns can use them.
fn sign_in_states(sign_ins: &[SignInLevel]) -> Vec<SignInStateLevel> {
    let states = sign_ins.iter().map(|sign_in| SignInStateLevel {
        sign_in: sign_in.name.clone(),
        is_ready: sign_in.problems.is_empty(),
    });
    states.collect()
}

/// Returns the windows of the plans of all sign-ins.
fn plan_windows(sign_ins: &[SignInLevel]) -> Vec<PlanWindowLevel> {
    let windows = sign_ins.iter().flat_map(|sign_in| {
        let windows = sign_in.windows.iter();
        windows.map(|window| PlanWindowLevel {
            sign_in: sign_in.name.clone(),
            window: window.kind.name(),
            used_ratio: f64::from(window.used_percent) / 100.0,
            resets_at: window.resets_at,
        })
    });
    windows.collect()
}
