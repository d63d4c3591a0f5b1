//! `/dashboard/api/playground`: chats of the operator, charged to a key.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use super::owners::read_keys;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::engine::gateway::TurnPipeline;
use crate::http::AppState;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::middleware::request_id::RequestId;
use crate::http::v1::chat;

/// Query parameter that names the key to charge.
const KEY_ID: &str = "key_id";

/// Shows the keys that can be charged, and the models.
pub(super) async fn show_choices(
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
    State(turns): State<TurnPipeline>,
) -> Result<Response, ApiError> {
    let cards = turns.models().await?;
    let models: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
    let (stored, _) = read_keys(&dashboard.admin.registry).await?;
    let now = unix_now();
    let is_valid = |expires_at: Option<u64>| expires_at.is_none_or(|end| now < end);
    let stored = stored
        .into_iter()
        .filter(|key| key.revoked_at.is_none() && is_valid(key.expires_at))
        .map(|key| json!({"id": key.id(), "name": key.name, "project_id": key.project}));
    let unstored = keys.unstored_callers().into_iter();
    let unstored =
        unstored.map(|caller| json!({"id": caller, "name": caller, "project_id": "default"}));
    let keys: Vec<Value> = stored.chain(unstored).collect();
    let body = json!({"object": "dashboard.playground", "keys": keys, "models": models});
    Ok(admin::json(StatusCode::OK, &body))
}

/// Answers a chat request as if it came with the key that the query names.
pub(super) async fn complete_chat(
    State(state): State<AppState>,
    Query(query): Query<HashMap<String, String>>,
    Extension(id): Extension<RequestId>,
    Extension(notes): Extension<RequestNotes>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let key = query.get(KEY_ID).ok_or_else(missing_key)?;
    let named = Caller::named(key);
    let needed = Some(Permission::Inference);
    state.keys.refresh().await?;
    let found = state.keys.authenticate_again(&named, needed)?;
    let caller = Caller {
        trace: id.trace().clone(),
        ..found
    };
    let caller = AdmittedCaller(state.turns.enter(caller).await?);
    chat::create_chat_completion(
        State(state.turns),
        State(state.config),
        State(state.drain_expired),
        State(state.forwarding),
        caller,
        Extension(notes),
        body,
    )
    .await
}

fn missing_key() -> InvalidRequest {
    let message = "`key_id`: name the key to charge in the query, such as `?key_id=key_...`. \
        GET /dashboard/api/playground lists them.";
    InvalidRequest::at(KEY_ID, code::MISSING, message)
}
