//! `/v1/batches` and its subpaths.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use crate::api::openai::batches;
use crate::domain::Caller;
use crate::engine::gateway::TurnInfo;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;
use crate::http::extract::page;
use crate::http::state::ApiServices;
use crate::services::answers::ApiEndpoint;
use crate::services::batches::BatchFamily;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a batch and starts it.
pub(in crate::http) async fn create_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let decode = |body: &[u8], policy| {
        batches::decode(body, &ApiEndpoint::OPENAI.map(ApiEndpoint::path), policy)
    };
    let request = body.decode_by(config.policy, decode).await?;
    let remarks = request.remarks.clone();
    let mut response = json(batches.create(&caller, request).await?.to_json());
    describe(&mut response, &TurnInfo::default(), &remarks);
    Ok(response)
}

/// Lists the batches of the caller's project.
pub(in crate::http) async fn list_batches(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let (list, has_more) = batches.list(&caller, BatchFamily::OpenAi, &page).await?;
    Ok(json(batches::list_body(&list, has_more)))
}

/// Returns the current state of a batch.
pub(in crate::http) async fn retrieve_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(
        batches
            .get(&caller, BatchFamily::OpenAi, &id)
            .await?
            .to_json(),
    ))
}

/// Cancels a batch.
pub(in crate::http) async fn cancel_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(
        batches
            .cancel(&caller, BatchFamily::OpenAi, &id)
            .await?
            .to_json(),
    ))
}
