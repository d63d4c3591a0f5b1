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
use super::chat::Wish;
use super::chat::tell;
use crate::accounts::auth::AuthError;
use crate::api::openai::sessions;
use crate::api::openai::sessions::MessageRequest;
use crate::domain::Caller;
use crate::engine::gateway::Turns;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::Admitted;
use crate::http::extract::RequestBody;
use crate::http::extract::page;
use crate::http::middleware::access_log::Notes;
use crate::http::state::LastWords;
use crate::services::answers::FanOut;
use crate::services::sessions::Sessions;

const LARGEST_PAGE: usize = 100;
const USUAL_PAGE: usize = 20;

/// Creates a session.
pub(in crate::http) async fn create_session(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = body.decode(sessions::create).await?;
    if request
        .project
        .as_ref()
        .is_some_and(|project| !caller.is_of(project))
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
        .list(&caller, &page(&query, USUAL_PAGE, LARGEST_PAGE)?)
        .await?;
    Ok(json(sessions::list(&list, has_more)))
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
    Ok(json(sessions::deleted(&id)))
}

/// Lists the messages of a session.
pub(in crate::http) async fn list_messages(
    State(store): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, USUAL_PAGE, LARGEST_PAGE)?;
    let (list, has_more) = store.messages(&caller, &id, &page).await?;
    Ok(json(sessions::entries(&list, has_more)))
}

/// State of the handler that answers a message.
#[derive(Clone)]
pub(in crate::http) struct Answering {
    pub(in crate::http) sessions: Sessions,
    pub(in crate::http) turns: Arc<dyn Turns>,
    pub(in crate::http) config: Arc<Config>,
    pub(in crate::http) last_words: LastWords,
}

/// Adds a message to a session and answers it like a chat request, as one body or as a stream.
pub(in crate::http) async fn create_message(
    State(answering): State<Answering>,
    Admitted(caller): Admitted,
    Extension(notes): Extension<Notes>,
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

impl Answering {
    async fn answer(
        self,
        caller: Caller,
        notes: Notes,
        id: &str,
        body: RequestBody,
    ) -> Result<Response, ApiError> {
        let talk = self.sessions.talk(&caller, id).await?;
        let policy = self.config.policy;
        let read = move |body: &[u8]| talk.read(body, policy).map(|request| (talk, request));
        let (talk, MessageRequest { chat, new }) = body.decode(read).await?;
        let (turn, wish) = Wish::of(chat);
        let running = self.turns.run(caller, turn).await?;
        let events = talk.keep(new, running.events).map_ok(|event| (0, event));
        let running = FanOut {
            told: running.told,
            events: Box::pin(events),
        };
        tell(running, wish, &self.config, notes, self.last_words.clone()).await
    }
}
