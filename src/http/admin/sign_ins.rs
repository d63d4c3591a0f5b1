//! `/admin/sign-ins`: the sign-ins of the server, and what is left of their plans.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json as object;

use super::json;
use crate::domain::PlanWindow;
use crate::engine::gateway::SignInLevel;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::ops::render_workers;
use crate::http::state::LiveSources;
use crate::telemetry::metrics::CircuitLevel;

/// Returns the sign-ins with their states, in the order of their settings.
pub(super) async fn list_sign_ins(
    State(live): State<Option<LiveSources>>,
) -> Result<Response, ApiError> {
    let live = live.ok_or_else(|| {
        let message = "A command answers here, which signs in nowhere. Ask a running server.";
        ApiError::new(ErrorKind::UnknownUrl, message)
    })?;
    let sign_ins = live.turns.readiness().sign_ins;
    let body = object!({"object": "list", "data": render_sign_ins(&sign_ins)});
    Ok(json(StatusCode::OK, &body))
}

/// Renders the sign-ins, as all endpoints show them.
pub(in crate::http) fn render_sign_ins(sign_ins: &[SignInLevel]) -> Vec<Value> {
    sign_ins.iter().map(render_sign_in).collect()
}

fn render_sign_in(sign_in: &SignInLevel) -> Value {
    let windows: Vec<Value> = sign_in.windows.iter().map(render_window).collect();
    let circuits: Vec<Value> = sign_in.circuits.iter().map(render_circuit).collect();
    object!({
        "object": "sign_in",
        "name": sign_in.name,
        "kind": sign_in.kind,
        "ready": sign_in.problems.is_empty(),
        "problems": sign_in.problems,
        "workers": render_workers(sign_in.workers),
        "waiting": sign_in.waiting,
        "breaker": circuits,
        "refused_until": sign_in.refused_until,
        "plan_windows": windows,
    })
}

fn render_window(window: &PlanWindow) -> Value {
    object!({
        "window": window.kind.name(),
        "used_percent": window.used_percent,
        "left_percent": 100_u32.saturating_sub(window.used_percent),
        "resets_at": window.resets_at,
    })
}

/// Renders the state of a circuit, with the model that it is for.
pub(in crate::http) fn render_circuit(circuit: &CircuitLevel) -> Value {
    object!({"model": circuit.model, "state": circuit.state.name()})
}
