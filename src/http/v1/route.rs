//! `POST /v1/route`, an API of this server: the choice that `"model": "auto"` would make.

use std::sync::Arc;

use axum::Json;
use axum::extract::Extension;
use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;

use crate::accounts::auth::AuthError;
use crate::accounts::ledger::LedgerReader;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::honoured;
use crate::api::request_schema::typed;
use crate::api::request_schema::typed::BoundedInteger;
use crate::domain::Caller;
use crate::engine::gateway::TurnPipeline;
use crate::engine::routing::FallbackCause;
use crate::engine::routing::Router;
use crate::engine::routing::RoutingChoice;
use crate::engine::routing::RoutingFeatures;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

/// Table of the fields of the request.
pub(in crate::http) static ROUTE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("task_description", Text, "The prompt.").required(),
        honoured(
            "context_size",
            Integer(0, u32::MAX as i64),
            "Tokens of the whole context: messages, instructions and tools.",
        )
        .required(),
        PROJECT,
    ],
};

/// Fields of the request. Unknown ones are refused: no client sends any by default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFields {
    task_description: String,
    context_size: BoundedInteger<0, { u32::MAX as i64 }>,
    project_id: Option<String>,
}

/// Model choice with its reason.
#[derive(Serialize)]
pub(in crate::http) struct Recommendation {
    recommended_model: String,
    reasoning: String,
    rule: &'static str,
    fallbacks: Vec<RecommendedFallback>,
}

/// Model that answers in place of the recommended one, and for what.
#[derive(Serialize)]
struct RecommendedFallback {
    model: String,
    /// Other server that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    on: Vec<&'static str>,
    /// Reason why it is never tried for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// Returns which model the routing rules choose for a task, and why. Runs no turn.
pub(in crate::http) async fn recommend_model(
    State(router): State<Arc<Router>>,
    State(turns): State<TurnPipeline>,
    State(ledger): State<LedgerReader>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Json<Recommendation>, ApiError> {
    let read = |body: &[u8]| typed::parse_typed(body, "`task_description` and `context_size`");
    let fields: RouteFields = body.decode(read).await?;
    if fields
        .project_id
        .is_some_and(|project| !caller.is_in_project(&project))
    {
        return Err(ApiError::from(AuthError::ForeignProject).at("project_id"));
    }
    let budget = ledger.budget_state(&caller).await?;
    let RoutingChoice {
        model,
        rule,
        reason,
    } = router.choose(&RoutingFeatures {
        prompt: vec![&fields.task_description],
        context_tokens: fields.context_size.get(),
        budget,
    });
    let fallbacks = router.fallbacks();
    let mut tries_left = fallbacks.max_tries;
    let listed = fallbacks
        .models_for(&model, &caller.name)
        .into_iter()
        .map(|one| {
            let refusal = turns.fallback_refusal(&caller, &one);
            let skipped = match refusal {
                Some(refusal) => Some(refusal.to_string()),
                None if tries_left == 0 => Some(fallbacks.too_many_tries()),
                None => {
                    tries_left -= 1;
                    None
                }
            };
            RecommendedFallback {
                model: one.model.to_string(),
                upstream: one.upstream,
                on: one.causes.into_iter().map(FallbackCause::name).collect(),
                skipped,
            }
        });
    let listed = listed.collect();
    Ok(Json(Recommendation {
        recommended_model: model.to_string(),
        reasoning: reason,
        rule: rule.name(),
        fallbacks: listed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::schema_document;

    #[test]
    fn document_lists_route_fields() {
        schema_document::check_struct::<RouteFields>(&ROUTE);
        schema_document::check_own("route fields", &[&ROUTE]);
    }
}
