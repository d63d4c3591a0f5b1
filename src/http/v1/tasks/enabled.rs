//! Extractor of the task service.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::services::tasks::Tasks;

/// Extractor of the task service; fails on a server without tasks.
pub(in crate::http) struct EnabledTasks(pub(in crate::http) Tasks);

impl FromRequestParts<AppState> for EnabledTasks {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        state
            .services
            .tasks
            .clone()
            .map(Self)
            .ok_or_else(ApiError::tasks_off)
    }
}
