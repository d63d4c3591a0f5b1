//! `/dashboard/api/nodes`: the servers that share the records; today this one alone.

use axum::extract::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use crate::domain::unix_now;
use crate::engine::gateway::Readiness;
use crate::engine::gateway::TurnPipeline;
use crate::http::DashboardServices;
use crate::http::NodeFacts;
use crate::http::admin;
use crate::http::ops::render_workers;

/// Lists the servers with their facts and their state.
pub(super) async fn list_nodes(
    Extension(dashboard): Extension<DashboardServices>,
    State(turns): State<TurnPipeline>,
) -> Response {
    let now = unix_now();
    let node = render_node(&dashboard.node, &turns.readiness(), now);
    let body = json!({"object": "list", "now": now, "data": [node]});
    admin::json(StatusCode::OK, &body)
}

fn render_node(facts: &NodeFacts, state: &Readiness, now: u64) -> Value {
    let listeners = facts.listeners.iter();
    let listeners: Vec<Value> = listeners
        .map(|(kind, address)| json!({"kind": kind, "address": address.to_string()}))
        .collect();
    let circuits: Vec<Value> = state.circuits.iter().map(admin::render_circuit).collect();
    let file = facts.config_file.as_ref();
    let file = file.map(|file| file.display().to_string());
    let data_dir = facts.data_dir.display().to_string();
    json!({
        "name": facts.host,
        "is_this": true,
        "version": env!("CARGO_PKG_VERSION"),
        "cli_version": facts.cli_version,
        "pid": std::process::id(),
        "started_at": facts.started_at,
        "uptime_seconds": now.saturating_sub(facts.started_at),
        "listeners": listeners,
        "config": {"file": file, "data_dir": data_dir},
        "sign_in": facts.sign_in,
        "sign_ins": admin::render_sign_ins(&state.sign_ins),
        "ready": state.problems.is_empty(),
        "problems": state.problems,
        "workers": render_workers(state.workers),
        "waiting": state.waiting,
        "breaker": circuits,
    })
}
