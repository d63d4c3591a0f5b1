//! `/admin/projects` and its subpaths.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json as object;

use super::fields;
use super::json;
use super::page;
use super::response_bodies;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::Project;
use crate::accounts::auth::ProjectChange;
use crate::accounts::auth::Registry;
use crate::accounts::webhooks;
use crate::accounts::webhooks::WebhookEvent;
use crate::accounts::webhooks::WebhookSender;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

/// Creates a project.
pub(super) async fn create_project(
    State(registry): State<Registry>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let (id, change) = body.decode(fields::new_project).await?;
    let show = shown_after(&change);
    Ok(json(
        StatusCode::CREATED,
        &show(&registry.create_project(id, change).await?),
    ))
}

/// Lists projects by id.
pub(super) async fn list_projects(
    State(registry): State<Registry>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let (projects, has_more) = registry.projects(page(&query)?).await?;
    Ok(json(
        StatusCode::OK,
        &response_bodies::list(
            &projects
                .iter()
                .map(response_bodies::project)
                .collect::<Vec<_>>(),
            has_more,
        ),
    ))
}

/// Returns one project.
pub(super) async fn retrieve_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(
        StatusCode::OK,
        &response_bodies::project(&registry.project(&id).await?),
    ))
}

/// Changes the name, limits, budget or webhook of a project.
pub(super) async fn change_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let change = body.decode(fields::project_change).await?;
    let show = shown_after(&change);
    Ok(json(
        StatusCode::OK,
        &show(&registry.change_project(&id, change).await?),
    ))
}

/// Replaces the budget of a project.
pub(super) async fn set_budget(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let budget = body.decode(fields::whole_budget).await?;
    Ok(json(
        StatusCode::OK,
        &response_bodies::project(&registry.set_budget(&id, budget).await?),
    ))
}

/// Sends one test event to the webhook of a project and returns the result.
pub(super) async fn test_webhook(
    State(registry): State<Registry>,
    State(sender): State<Arc<dyn WebhookSender>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let endpoint = registry
        .project(&id)
        .await?
        .webhook
        .ok_or_else(fields::no_webhook)?;
    let event = WebhookEvent::new("webhook.test", &object!({"project_id": id}));
    let answer = webhooks::send_once(&*sender, &endpoint, &event).await;
    Ok(json(
        StatusCode::OK,
        &response_bodies::webhook_test(&event, &answer),
    ))
}

/// Returns the renderer of the response: the secret of a webhook is shown only when it is set.
fn shown_after(change: &ProjectChange) -> fn(&Project) -> Value {
    if matches!(change.webhook, FieldChange::Set(_)) {
        response_bodies::with_secret
    } else {
        response_bodies::project
    }
}

/// Deletes a project whose keys are all revoked.
pub(super) async fn delete_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    registry.delete_project(&id).await?;
    Ok(json(
        StatusCode::OK,
        &object!({"id": id, "object": "project.deleted", "deleted": true}),
    ))
}
