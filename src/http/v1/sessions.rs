//! `/v1/sessions`, an API of this server: conversations whose history the server keeps.

use std::collections::HashMap;
use std::sync::Arc;

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
use crate::engine::gateway::Turns;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::extract::page;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::state::DrainExpired;
use crate::services::answers::FanOut;
use crate::services::sessions::Sessions;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a session.
pub(in crate::http) async fn create_session(
    State(store): State<Sessions>,
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
    let session = store.create(&caller, request).await?;
    Ok((StatusCode::CREATED, json(session.to_json())).into_response())
}

/// Lists the caller's sessions.
pub(in crate::http) async fn list_sessions(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let (list, has_more) = store
        .list(&caller, &page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?)
        .await?;
    Ok(json(sessions::list_body(&list, has_more)))
}

/// Returns the current state of a session.
pub(in crate::http) async fn retrieve_session(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(store.get(&caller, &id).await?.to_json()))
}

/// Deletes a session.
pub(in crate::http) async fn delete_session(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    store.delete(&caller, &id).await?;
    Ok(json(sessions::deleted_body(&id)))
}

/// Lists the messages of a session.
pub(in crate::http) async fn list_messages(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let (list, has_more) = store.messages(&caller, &id, &page).await?;
    Ok(json(sessions::entry_list_body(&list, has_more)))
}

/// State of the handler that answers a message.
#[derive(Clone)]
pub(in crate::http) struct MessageState {
    pub(in crate::http) sessions: Sessions,
    pub(in crate::http) turns: Arc<dyn Turns>,
    pub(in crate::http) config: Arc<Config>,
    pub(in crate::http) last_words: DrainExpired,
}

/// Adds a message to a session and answers it like a chat request, as one body or as a stream.
pub(in crate::http) async fn create_message(
    State(answering): State<MessageState>,
    AdmittedCaller(caller): AdmittedCaller,
    Extension(notes): Extension<RequestNotes>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let last_words = answering.last_words.0.clone();
    let answer = Box::pin(answering.answer(caller, notes, &id, body));
    last_words
        .run_until_cancelled(answer)
        .await
        .unwrap_or_else(|| Err(ApiError::shutting_down()))
}

impl MessageState {
    async fn answer(
        self,
        caller: Caller,
        notes: RequestNotes,
        id: &str,
        body: RequestBody,
    ) -> Result<Response, ApiError> {
        let talk = self.sessions.begin_turn(&caller, id).await?;
        let policy = self.config.policy;
        let read = move |body: &[u8]| {
            talk.decode_message(body, policy)
                .map(|request| (talk, request))
        };
        let (
            talk,
            MessageRequest {
                chat,
                new_messages: new,
            },
        ) = body.decode(read).await?;
        let (turn, wish) = ResponseOptions::split_request(chat);
        let running = self.turns.run(caller, turn).await?;
        let events = talk
            .store_answer(new, running.events)
            .map_ok(|event| (0, event));
        let running = FanOut {
            info: running.info,
            events: Box::pin(events),
        };
        render_chat(running, wish, &self.config, notes, self.last_words.clone()).await
    }
}
