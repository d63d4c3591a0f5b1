//! `/admin/keys` and its subpaths.

use std::collections::HashMap;

use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::fields;
use super::json;
use super::page;
use super::response_bodies;
use crate::accounts::auth::ApiKey;
use crate::accounts::auth::Error;
use crate::accounts::auth::Registry;
use crate::engine::hooks::Hooks;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

/// Creates a key and shows its secret, this once.
pub(super) async fn create_key(
    State(registry): State<Registry>,
    State(hooks): State<Hooks>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let (project, change) = body.decode(fields::new_key).await?;
    let (key, text) = registry
        .create_key(project, change)
        .await
        .map_err(|error| match error {
            Error::UnknownProject(_) => ApiError::from(fields::unknown_project()),
            error => error.into(),
        })?;
    notify_hooks(&hooks, "key.created", &key);
    Ok(json(
        StatusCode::CREATED,
        &response_bodies::new_key(&key, &text),
    ))
}

/// Lists keys in the order of their creation, including revoked ones.
pub(super) async fn list_keys(
    State(registry): State<Registry>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let (keys, has_more) = registry.keys(page(&query)?).await?;
    Ok(json(
        StatusCode::OK,
        &response_bodies::list(
            &keys.iter().map(response_bodies::key).collect::<Vec<_>>(),
            has_more,
        ),
    ))
}

/// Returns one key.
pub(super) async fn retrieve_key(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(
        StatusCode::OK,
        &response_bodies::key(&registry.key(&id).await?),
    ))
}

/// Changes the properties of a key.
pub(super) async fn change_key(
    State(registry): State<Registry>,
    State(hooks): State<Hooks>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let change = body.decode(fields::key_change).await?;
    let key = registry.change_key(&id, change).await?;
    notify_hooks(&hooks, "key.changed", &key);
    Ok(json(StatusCode::OK, &response_bodies::key(&key)))
}

/// Revokes a key. Its record stays, so that clients that still use it get an error that says so.
pub(super) async fn revoke_key(
    State(registry): State<Registry>,
    State(hooks): State<Hooks>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let key = registry.revoke_key(&id).await?;
    notify_hooks(&hooks, "key.revoked", &key);
    Ok(json(StatusCode::OK, &response_bodies::key(&key)))
}

/// Replaces the secret of a key and shows the new one, this once.
pub(super) async fn rotate_key(
    State(registry): State<Registry>,
    State(hooks): State<Hooks>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let grace_seconds = body.decode(fields::grace).await?;
    let (key, text) = registry.rotate_key(&id, grace_seconds).await?;
    notify_hooks(&hooks, "key.rotated", &key);
    Ok(json(StatusCode::OK, &response_bodies::new_key(&key, &text)))
}

/// Notifies hooks of a change of `key`, without its secret.
fn notify_hooks(hooks: &Hooks, kind: &str, key: &ApiKey) {
    hooks.notify(Some(&key.project), kind, &response_bodies::key(key));
}
