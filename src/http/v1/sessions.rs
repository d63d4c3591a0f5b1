//! `/v1/sessions`, an API of this server: conversations whose history the server keeps.

use std::collections::HashMap;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use futures::TryStreamExt as _;

use super::answer::json;
use super::chat::ResponseOptions;
use super::chat::render_chat;
use crate::accounts::auth::AuthError;
use crate::api::openai::sessions;
use crate::api::openai::sessions::MessageRequest;
use crate::domain::Caller;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::extract::page;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::state::ApiServices;
use crate::http::state::AppState;
use crate::services::answers::FanOut;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a session.
pub(in crate::http) async fn create_session(
    State(ApiServices { sessions, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode(sessions::decode_create_session).await?;
    if request
        .project
        .as_ref()
        .is_some_and(|project| !caller.is_in_project(project))
    {
        return Err(ApiError::from(AuthError::ForeignProject).at("project_id"));
    }
    let session = sessions.create(&caller, request).await?;
    Ok((StatusCode::CREATED, json(session.to_json())).into_response())
}

/// Lists the caller's sessions.
pub(in crate::http) async fn list_sessions(
    State(ApiServices { sessions, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let (list, has_more) = sessions
        .list(&caller, &page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?)
        .await?;
    Ok(json(sessions::list_body(&list, has_more)))
}

/// Returns the current state of a session.
pub(in crate::http) async fn retrieve_session(
    State(ApiServices { sessions, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(sessions.get(&caller, &id).await?.to_json()))
}

/// Deletes a session.
pub(in crate::http) async fn delete_session(
    State(ApiServices { sessions, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    sessions.delete(&caller, &id).await?;
    Ok(json(sessions::deleted_body(&id)))
}

/// Lists the messages of a session.
pub(in crate::http) async fn list_messages(
    State(ApiServices { sessions, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let (list, has_more) = sessions.messages(&caller, &id, &page).await?;
    Ok(json(sessions::entry_list_body(&list, has_more)))
}

/// Adds a message to a session and answers it like a chat request, as one body or as a stream.
pub(in crate::http) async fn create_message(
    State(state): State<AppState>,
    AdmittedCaller(caller): AdmittedCaller,
    Extension(notes): Extension<RequestNotes>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let drain_expired = state.drain_expired.0.clone();
    let answer = Box::pin(answer(state, caller, notes, &id, body));
    drain_expired
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

async fn answer(
    state: AppState,
    caller: Caller,
    notes: RequestNotes,
    id: &str,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let session_turn = state.services.sessions.begin_turn(&caller, id).await?;
    let policy = state.config.policy;
    let read = move |body: &[u8]| {
        session_turn
            .decode_message(body, policy)
            .map(|request| (session_turn, request))
    };
    let (session_turn, MessageRequest { chat, new_messages }) = body.decode(read).await?;
    let caller = caller.streaming(chat.stream);
    let (turn, options) = ResponseOptions::split_request(chat);
    let running = state.turns.run(caller, turn).await?;
    let events = session_turn
        .store_answer(new_messages, running.events)
        .map_ok(|event| (0, event));
    let running = FanOut {
        info: running.info,
        events: Box::pin(events),
    };
    render_chat(running, options, &state.config, notes, state.drain_expired).await
}
