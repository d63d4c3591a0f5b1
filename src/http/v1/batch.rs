//! `POST /v1/batch`, an API of this server: several chat requests in one call.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures::StreamExt as _;
use futures::stream;

use super::answer::describe;
use super::answer::json;
use crate::accounts::auth::AuthError;
use crate::api::openai::inline_batch;
use crate::api::openai::inline_batch::InlineBatchOutcome;
use crate::api::request_schema::InvalidRequest;
use crate::domain::Caller;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::engine::hooks::Hooks;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::client_error;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::idempotency::EveryPartFailed;
use crate::http::shutdown::DrainExpired;
use crate::http::state::ApiServices;
use crate::services::answers::Answers;
use crate::services::answers::ApiEndpoint;

/// Answers several chat requests concurrently, in the order of the requests.
pub(in crate::http) async fn answer_requests(
    State(turns): State<TurnPipeline>,
    State(hooks): State<Hooks>,
    State(ApiServices { answers, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    AdmittedCaller(caller): AdmittedCaller,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode_by(config.policy, inline_batch::decode).await?;
    if request
        .project
        .is_some_and(|project| !caller.is_in_project(&project))
    {
        return Err(AuthError::ForeignProject.into());
    }
    // More requests than workers would only fill the queue of the pool.
    let workers = turns.readiness().workers.max.max(1);
    let outcomes = stream::iter(request.bodies)
        .map(|body| outcome(&answers, &hooks, &caller, body))
        .buffered(request.parallel.min(workers))
        .collect::<Vec<_>>();
    let outcomes = drain_expired
        .0
        .run_until_cancelled(outcomes)
        .await
        .ok_or_else(ApiError::shutting_down)?;
    let mut response = json(inline_batch::response_body(&outcomes));
    describe(&mut response, &TurnInfo::default(), &request.remarks);
    let is_failed =
        |outcome: &InlineBatchOutcome| matches!(outcome, InlineBatchOutcome::Failed { .. });
    if outcomes.iter().all(is_failed) {
        // A retry with the same idempotency key runs the requests anew.
        response.extensions_mut().insert(EveryPartFailed);
    }
    Ok(response)
}

async fn outcome(
    answers: &Answers,
    hooks: &Hooks,
    caller: &Caller,
    body: Result<Vec<u8>, InvalidRequest>,
) -> InlineBatchOutcome {
    let answered = match body {
        Ok(body) => answers.answer(caller, ApiEndpoint::Chat, &body).await,
        Err(invalid) => Err(invalid.into()),
    };
    match answered {
        Ok(answered) => {
            let body = answered.body;
            let usage = answered.usage;
            let remarks = answered.remarks;
            InlineBatchOutcome::Answered {
                body,
                usage,
                remarks,
            }
        }
        Err(error) => {
            let refusal = client_error(error);
            refusal.notify_hooks(hooks, caller);
            InlineBatchOutcome::Failed {
                status: refusal.status,
                envelope: refusal.envelope,
            }
        }
    }
}
