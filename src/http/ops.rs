//! What operators and their machinery ask: `/health` and `/ready`, open to all.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use crate::gateway::Turns;

/// The process serves.
pub(super) async fn health() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}

/// Whether turns can be served now, and if not, what to do.
pub(super) async fn ready(State(turns): State<Arc<dyn Turns>>) -> impl IntoResponse {
    let readiness = turns.readiness();
    let (status, word) = if readiness.problems.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let workers = readiness.workers;
    let body = json!({
        "status": word,
        "problems": readiness.problems,
        "workers": {
            "max": workers.max,
            "starting": workers.starting,
            "idle": workers.idle,
            "busy": workers.busy,
            "holding": workers.holding,
            "resetting": workers.resetting,
        },
        "waiting": readiness.waiting,
    });
    (status, Json(body))
}
