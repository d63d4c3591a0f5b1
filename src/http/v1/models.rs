//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;

use super::answer::json;
use crate::anthropic;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::gateway::Turns;
use crate::http::error::ApiError;
use crate::http::error::Door;
use crate::openai;

const OWNER: &str = "anthropic";

/// The names callers may write into `model`.
pub(in crate::http) async fn list_models(
    State(turns): State<Arc<dyn Turns>>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let cards = turns.models().await?;
    let names = cards.iter().map(|card| card.name.as_str()).filter(|name| caller.grant.allows_model(name));
    Ok(json(match door {
        Door::OpenAi => openai::models::list(&names.map(|name| (name, OWNER)).collect::<Vec<_>>()),
        Door::Anthropic => anthropic::models::list(&names.collect::<Vec<_>>()),
    }))
}

/// One of them.
pub(in crate::http) async fn retrieve_model(
    State(turns): State<Arc<dyn Turns>>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    if !caller.grant.allows_model(&name) {
        return Err(ApiError::unknown_model(&name));
    }
    turns.model(ModelName::new(&name)).await?;
    Ok(json(match door {
        Door::OpenAi => openai::models::single(&name, OWNER),
        Door::Anthropic => anthropic::models::single(&name),
    }))
}
