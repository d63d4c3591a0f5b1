//! `POST /v1/route`, an API of this server: the choice that `"model": "auto"` would make.

use std::sync::Arc;

use axum::Json;
use axum::extract::Extension;
use axum::extract::State;
use serde::Serialize;

use crate::accounts::auth::AuthError;
use crate::accounts::ledger::LedgerReader;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::domain::Caller;
use crate::engine::routing::Router;
use crate::engine::routing::RoutingChoice;
use crate::engine::routing::RoutingFeatures;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

/// Fields of the request.
static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("task_description", Text, "What the prompt would be.").required(),
        honoured(
            "context_size",
            Integer(0, u32::MAX as i64),
            "Tokens of all that would go with it: messages, instructions and tools.",
        )
        .required(),
        PROJECT,
    ],
};

/// Decoded request.
struct RouteRequest {
    task: String,
    context_tokens: u64,
}

/// Model choice with its reason.
#[derive(Serialize)]
pub(in crate::http) struct Recommendation {
    recommended_model: String,
    reasoning: String,
    rule: &'static str,
}

/// Returns which model the routing rules choose for a task, and why. Runs no turn.
pub(in crate::http) async fn recommend_model(
    State(router): State<Arc<Router>>,
    State(ledger): State<LedgerReader>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Json<Recommendation>, ApiError> {
    let RouteRequest {
        task,
        context_tokens,
    } = {
        let caller = caller.clone();
        body.decode(move |body| decode(body, &caller)).await?
    };
    let budget = ledger.budget_state(&caller).await?;
    let RoutingChoice {
        model,
        rule,
        reason,
    } = router.choose(&RoutingFeatures {
        prompt: vec![&task],
        context_tokens,
        budget,
    });
    Ok(Json(Recommendation {
        recommended_model: model.to_string(),
        reasoning: reason,
        rule: rule.name(),
    }))
}

/// Decodes the request. Unknown fields are always refused: no client sends any by default.
fn decode(body: &[u8], caller: &Caller) -> Result<RouteRequest, ApiError> {
    let mut request = parse_request(body, &REQUEST, "`task_description` and `context_size`")?;
    let task = request.require_text("task_description")?;
    let size = request
        .take_integer("context_size")?
        .ok_or_else(|| request.missing_field("context_size"))?;
    if request
        .take_text("project_id")?
        .is_some_and(|project| !caller.is_in_project(&project))
    {
        return Err(ApiError::from(AuthError::ForeignProject).at("project_id"));
    }
    request.finish(&mut RemarkCollector::new(Policy::Strict))?;
    Ok(RouteRequest {
        task,
        context_tokens: u64::try_from(size).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request_schema::document;

    #[test]
    fn document_lists_route_fields() {
        document::check("route fields", &[&REQUEST]);
    }
}
