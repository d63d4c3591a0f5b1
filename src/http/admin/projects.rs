//! `/admin/projects` and what lies under it.

use std::collections::HashMap;

use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as object;

use super::fields;
use super::json;
use super::page;
use super::write;
use crate::auth::Registry;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

/// Makes a project.
pub(super) async fn create_project(
    State(registry): State<Registry>,
    RequestBody(body): RequestBody,
) -> Result<Response, ApiError> {
    let project = registry.create_project(fields::new_project(&body)?).await?;
    Ok(json(StatusCode::CREATED, &write::project(&project)))
}

/// The default one, then the others as they were made.
pub(super) async fn list_projects(
    State(registry): State<Registry>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let (projects, has_more) = registry.projects(page(&query)?).await?;
    Ok(json(StatusCode::OK, &write::list(&projects.iter().map(write::project).collect::<Vec<_>>(), has_more)))
}

/// One of them.
pub(super) async fn retrieve_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, &write::project(&registry.project(&id).await?)))
}

/// Changes its name, its limits or its budget.
pub(super) async fn change_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    RequestBody(body): RequestBody,
) -> Result<Response, ApiError> {
    let change = fields::project_change(&body)?;
    Ok(json(StatusCode::OK, &write::project(&registry.change_project(&id, change).await?)))
}

/// Puts another budget in the place of the one it has.
pub(super) async fn set_budget(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    RequestBody(body): RequestBody,
) -> Result<Response, ApiError> {
    let budget = fields::whole_budget(&body)?;
    Ok(json(StatusCode::OK, &write::project(&registry.set_budget(&id, budget).await?)))
}

/// Takes one away whose keys are all revoked.
pub(super) async fn delete_project(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    registry.delete_project(&id).await?;
    Ok(json(StatusCode::OK, &object!({"id": id, "object": "project.deleted", "deleted": true})))
}
