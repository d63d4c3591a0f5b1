//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::gateway::Turns;
use crate::http::error::ApiError;
use crate::openai::models;

const OWNER: &str = "anthropic";

/// The names callers may write into `model`.
pub(in crate::http) async fn list_models(
    State(turns): State<Arc<dyn Turns>>,
) -> Result<impl IntoResponse, ApiError> {
    let cards = turns.models().await?;
    let names: Vec<_> = cards.iter().map(|card| (card.name.as_str(), OWNER)).collect();
    Ok(json(models::list(&names)))
}

/// One of them.
pub(in crate::http) async fn retrieve_model(
    State(turns): State<Arc<dyn Turns>>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let cards = turns.models().await?;
    if cards.iter().any(|card| card.name.as_str() == name) {
        Ok(json(models::single(&name, OWNER)))
    } else {
        Err(ApiError::unknown_model(&name))
    }
}

fn json(body: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body)
}
