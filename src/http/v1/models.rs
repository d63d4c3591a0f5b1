//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::collections::HashMap;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;

use super::answer::json;
use crate::api::anthropic;
use crate::api::openai;
use crate::api::openai::models::ModelEntry;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::TokenLimits;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::TurnPipeline;
use crate::http::error::ApiError;
use crate::http::error::ApiFlavor;
use crate::services::forwarding::Forwarding;

const OWNER: &str = "anthropic";
/// Query parameter by which Codex is recognized.
const CODEX: &str = "client_version";

/// Lists the model names that the caller may use. Clients of Anthropic's API cannot call those of
/// other servers.
pub(in crate::http) async fn list_models(
    State(turns): State<TurnPipeline>,
    State(forwarding): State<Forwarding>,
    Extension(flavor): Extension<ApiFlavor>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let cards = turns.models().await?;
    let others = forwarding.model_names();
    let cards = cards
        .iter()
        .filter(|card| caller.grant.allows_model(card.name.as_str()));
    Ok(json(match flavor {
        ApiFlavor::OpenAi => {
            let own = cards.filter(|card| !others.contains_key(card.name.as_str()));
            let others = others
                .iter()
                .map(|(model, owner)| listed_other(model, owner));
            let others = others.filter(|entry| caller.grant.allows_model(entry.name));
            let all: Vec<_> = own.map(listed).chain(others).collect();
            openai::models::list_body(&all, query.contains_key(CODEX))
        }
        ApiFlavor::Anthropic => {
            anthropic::models::list(&cards.map(|card| card.name.as_str()).collect::<Vec<_>>())
        }
    }))
}

/// Returns one model.
pub(in crate::http) async fn retrieve_model(
    State(turns): State<TurnPipeline>,
    State(forwarding): State<Forwarding>,
    Extension(flavor): Extension<ApiFlavor>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    if !caller.grant.allows_model(&name) {
        return Err(ApiError::unknown_model(&name));
    }
    if let (ApiFlavor::OpenAi, Some(owner)) = (flavor, forwarding.model_names().get(&*name)) {
        return Ok(json(openai::models::model_body(&listed_other(
            &name, owner,
        ))));
    }
    let card = turns.model(ModelName::new(&name)).await?;
    Ok(json(match flavor {
        ApiFlavor::OpenAi => openai::models::model_body(&listed(&card)),
        ApiFlavor::Anthropic => anthropic::models::single(&name),
    }))
}

/// Entry of a model of the server `owner`, whose limits are not known.
fn listed_other<'a>(name: &'a str, owner: &'a str) -> ModelEntry<'a> {
    ModelEntry {
        name,
        owned_by: owner,
        limits: None,
    }
}

fn listed(card: &ModelCard) -> ModelEntry<'_> {
    ModelEntry {
        name: card.name.as_str(),
        owned_by: OWNER,
        limits: TokenLimits::for_model(&card.resolves_to),
    }
}
