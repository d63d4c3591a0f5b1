//! `/v1/conversations` and its subpaths.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;

use super::answer::describe;
use super::answer::json;
use crate::api::openai::conversations;
use crate::api::openai::responses::stored_items;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::engine::gateway::TurnInfo;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;
use crate::http::extract::page;
use crate::http::state::ApiServices;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a conversation.
pub(in crate::http) async fn create_conversation(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body
        .decode_by(config.policy, conversations::decode_create_conversation)
        .await?;
    let remarks = request.new_items.remarks.clone();
    Ok(answer(
        conversations.create(&caller, request).await?.to_json(),
        &remarks,
    ))
}

/// Returns a conversation without its items.
pub(in crate::http) async fn retrieve_conversation(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(conversations.get(&caller, &id).await?.to_json()))
}

/// Changes the metadata of a conversation.
pub(in crate::http) async fn update_conversation(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let (metadata, remarks) = body
        .decode_by(config.policy, conversations::decode_update_conversation)
        .await?;
    Ok(answer(
        conversations
            .update(&caller, &id, metadata)
            .await?
            .to_json(),
        &remarks,
    ))
}

/// Deletes a conversation.
pub(in crate::http) async fn delete_conversation(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    conversations.delete(&caller, &id).await?;
    Ok(json(conversations::deleted_body(&id)))
}

/// Lists the items of a conversation.
pub(in crate::http) async fn list_items(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    Ok(json(
        conversations
            .list_items(
                &caller,
                &id,
                &page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?,
            )
            .await?,
    ))
}

/// Adds items to a conversation.
pub(in crate::http) async fn create_items(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let new = body
        .decode_by(config.policy, conversations::decode_new_items)
        .await?;
    let added = conversations.add_items(&caller, &id, new.items).await?;
    Ok(answer(
        stored_items::list_body(&added.iter().collect::<Vec<_>>(), false),
        &new.remarks,
    ))
}

/// Returns an item of a conversation.
pub(in crate::http) async fn retrieve_item(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path((id, item)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    Ok(json(
        conversations.item(&caller, &id, &item).await?.to_string(),
    ))
}

/// Deletes an item of a conversation.
pub(in crate::http) async fn delete_item(
    State(ApiServices { conversations, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path((id, item)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    Ok(json(
        conversations
            .delete_item(&caller, &id, &item)
            .await?
            .to_json(),
    ))
}

fn answer(body: String, remarks: &Remarks) -> Response {
    let mut response = json(body);
    describe(&mut response, &TurnInfo::default(), remarks);
    response
}
