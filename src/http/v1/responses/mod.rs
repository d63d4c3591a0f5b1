//! `/v1/responses` and its subpaths.

pub(in crate::http) mod socket;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use super::answer::describe;
use super::answer::json;
use super::forwarded::ForwardedCall;
use crate::api::openai::responses;
use crate::api::openai::responses::CreateResponseRequest;
use crate::api::openai::responses::stored_items;
use crate::domain::Caller;
use crate::engine::gateway::TurnInfo;
use crate::engine::upstreams::EndpointGroup;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::extract::number;
use crate::http::extract::page;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::state::ApiServices;
use crate::services::forwarding::Forwarding;
use crate::services::responses::ResponseExecution;
use crate::services::responses::Responses;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a response: as one body, as a stream, or in the background. A model of another server
/// answers itself.
pub(in crate::http) async fn create_response(
    State(ApiServices { responses, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    State(forwarding): State<Forwarding>,
    AdmittedCaller(caller): AdmittedCaller,
    Extension(notes): Extension<RequestNotes>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    if forwarding.has_model_of(EndpointGroup::Responses, body.bytes()) {
        let call = ForwardedCall::of_json(drain_expired, notes);
        let endpoint = UpstreamEndpoint::Responses;
        let answering = call.answer(&forwarding, &config, endpoint, caller, body);
        return Box::pin(answering).await;
    }
    let bytes = body.bytes().clone();
    let request = body.decode_by(config.policy, responses::decode).await?;
    // Only a background response may wait for a server, and needs its body for that.
    let bytes = Some(bytes).filter(|_| request.response.background);
    if let Some(id) = responses.find_resumed(&caller).await? {
        return resume(&responses, &config, &caller, notes, &id, request.stream).await;
    }
    let answer = Box::pin(answer(&responses, &config, caller, notes, request, bytes));
    drain_expired
        .0
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

/// Answers a retry of the request that has created the background response `id`.
async fn resume(
    responses: &Responses,
    config: &Config,
    caller: &Caller,
    notes: RequestNotes,
    id: &str,
    is_streamed: bool,
) -> Result<Response, ApiError> {
    if !is_streamed {
        return Ok(json(responses.get(caller, id).await?));
    }
    let events = responses.follow(caller, id, 0).await?;
    Ok(stream::response(
        events.into_steps(),
        config.heartbeat,
        notes,
    ))
}

async fn answer(
    responses: &Responses,
    config: &Config,
    caller: Caller,
    notes: RequestNotes,
    request: CreateResponseRequest,
    body: Option<Bytes>,
) -> Result<Response, ApiError> {
    let stream = request.stream;
    let created = match body {
        Some(body) => responses.create_or_queue(caller, request, &body).await?,
        None => responses.create(caller, request, None).await?,
    };
    let (mut response, turn_info) = match created.execution {
        ResponseExecution::Foreground { mut run, turn_info } if stream => {
            let first = run.first_step(config.first_event_wait).await?;
            (
                stream::response(run.into_steps(first), config.heartbeat, notes),
                turn_info,
            )
        }
        ResponseExecution::Foreground { run, turn_info } => {
            (json(run.finish().await?.to_json()), turn_info)
        }
        ResponseExecution::Background {
            events, turn_info, ..
        } if stream => (
            stream::response(events.into_steps(), config.heartbeat, notes),
            turn_info,
        ),
        ResponseExecution::Background {
            response,
            turn_info,
            ..
        } => (json(response.to_json()), turn_info),
    };
    describe(&mut response, &turn_info, &created.remarks);
    Ok(response)
}

/// Returns a stored response, or with `stream=true` its events.
pub(in crate::http) async fn retrieve_response(
    State(ApiServices { responses, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    Extension(notes): Extension<RequestNotes>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    if query.get("stream").is_none_or(|stream| stream != "true") {
        return Ok(json(responses.get(&caller, &id).await?));
    }
    let first = number(&query, "starting_after", 0..=usize::MAX - 1)?.map_or(0, |after| after + 1);
    let events = responses.follow(&caller, &id, first).await?;
    Ok(stream::response(
        events.into_steps(),
        config.heartbeat,
        notes,
    ))
}

/// Deletes a response.
pub(in crate::http) async fn delete_response(
    State(ApiServices { responses, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    responses.delete(&caller, &id).await?;
    Ok(json(stored_items::deleted_body(&id)))
}

/// Cancels a background response.
pub(in crate::http) async fn cancel_response(
    State(ApiServices { responses, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(responses.cancel(&caller, &id).await?))
}

/// Lists the input items of a response.
pub(in crate::http) async fn list_input_items(
    State(ApiServices { responses, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    Ok(json(responses.input_items(&caller, &id, &page).await?))
}

/// Counts the tokens of an input.
pub(in crate::http) async fn count_input_tokens(
    State(ApiServices { responses, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    AdmittedCaller(caller): AdmittedCaller,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode_by(config.policy, responses::decode).await?;
    let (count, remarks) = responses.count_tokens(caller, request).await?;
    let mut response = json(stored_items::input_tokens_body(count));
    describe(&mut response, &TurnInfo::default(), &remarks);
    Ok(response)
}

/// Compacts a conversation into one item.
pub(in crate::http) async fn compact(
    State(ApiServices { responses, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    AdmittedCaller(caller): AdmittedCaller,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode_by(config.policy, responses::decode).await?;
    let (items, remarks) = responses.conversation(&caller, request).await?;
    let mut response = json(stored_items::compaction_body(items));
    describe(&mut response, &TurnInfo::default(), &remarks);
    Ok(response)
}
