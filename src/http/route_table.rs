//! Table of the routes: paths, required credentials, operations and handlers.

use axum::Extension;
use axum::extract::Request;
use axum::routing::any;

use super::AppState;
use super::error::ApiError;
use super::error::ErrorKind;
use super::middleware::authenticate::RequiredAuth;
use super::middleware::body_limit;
use super::openapi::DescribedMethods;
use super::openapi::get;
use super::openapi::operations;
use super::openapi::post;
use super::ops;
use super::stream_probe;
use super::stream_probe::StreamProbes;
use super::v1::batch;
use super::v1::batches;
use super::v1::chat;
use super::v1::completions;
use super::v1::conversations;
use super::v1::files;
use super::v1::forwarded;
use super::v1::message_batches;
use super::v1::messages;
use super::v1::models;
use super::v1::responses;
use super::v1::route;
use super::v1::sessions;
use super::v1::stream;
use super::v1::stream::UnauthenticatedSockets;
use super::v1::tasks;
use super::v1::usage;
use crate::accounts::auth::Permission;

/// Path of the metrics, which have a listener of their own as well.
pub(super) const METRICS: &str = "/metrics";

/// Path with its required credentials and its handlers.
pub(super) struct RouteEntry {
    pub(super) path: &'static str,
    pub(super) need: RequiredAuth,
    pub(super) methods: DescribedMethods<AppState>,
}

/// Routes of callers and of operations. Unlisted paths require a key.
#[expect(clippy::too_many_lines, reason = "a table, with a row for each route")]
pub(super) fn routes() -> Vec<RouteEntry> {
    let mut routes = Vec::new();
    let mut all = |need, list: Vec<(&'static str, DescribedMethods<AppState>)>| {
        routes.extend(list.into_iter().map(|(path, methods)| RouteEntry {
            path,
            need,
            methods,
        }));
    };
    all(
        RequiredAuth::Public,
        vec![
            ("/health", get(&operations::GET_HEALTH, ops::health)),
            (
                "/health/stream",
                get(&operations::PROBE_STREAM, stream_probe::open)
                    .map(|open| open.layer(Extension(StreamProbes::default()))),
            ),
            ("/ready", get(&operations::GET_READINESS, ops::ready)),
        ],
    );
    all(
        RequiredAuth::Scraper,
        vec![(METRICS, get(&operations::GET_METRICS, ops::metrics))],
    );
    all(
        RequiredAuth::Permission(Permission::Inference),
        vec![
            (
                "/v1/chat/completions",
                post(
                    &operations::CREATE_CHAT_COMPLETION,
                    chat::create_chat_completion,
                ),
            ),
            (
                "/v1/completions",
                post(
                    &operations::CREATE_COMPLETION,
                    completions::create_completion,
                ),
            ),
            (
                "/v1/messages",
                post(&operations::CREATE_MESSAGE, messages::create_message),
            ),
            (
                "/v1/messages/count_tokens",
                post(&operations::COUNT_MESSAGE_TOKENS, messages::count_tokens),
            ),
            (
                "/v1/responses",
                post(&operations::CREATE_RESPONSE, responses::create_response)
                    .get(&operations::OPEN_RESPONSES_SOCKET, responses::socket::open),
            ),
            (
                "/v1/responses/input_tokens",
                post(
                    &operations::COUNT_INPUT_TOKENS,
                    responses::count_input_tokens,
                ),
            ),
            (
                "/v1/responses/compact",
                post(&operations::COMPACT_CONVERSATION, responses::compact),
            ),
            (
                "/v1/batch",
                post(&operations::ANSWER_REQUESTS, batch::answer_requests),
            ),
            (
                "/v1/batches",
                get(&operations::LIST_BATCHES, batches::list_batches)
                    .post(&operations::CREATE_BATCH, batches::create_batch),
            ),
            (
                "/v1/batches/{id}",
                get(&operations::RETRIEVE_BATCH, batches::retrieve_batch),
            ),
            (
                "/v1/batches/{id}/cancel",
                post(&operations::CANCEL_BATCH, batches::cancel_batch),
            ),
            (
                body_limit::UPLOADS,
                get(&operations::LIST_FILES, files::list_files)
                    .post(&operations::CREATE_FILE, files::create_file),
            ),
            (
                "/v1/files/{id}",
                get(&operations::RETRIEVE_FILE, files::retrieve_file)
                    .delete(&operations::DELETE_FILE, files::delete_file),
            ),
            (
                "/v1/files/{id}/content",
                get(&operations::DOWNLOAD_FILE, files::download_file),
            ),
            (
                "/v1/sessions",
                get(&operations::LIST_SESSIONS, sessions::list_sessions)
                    .post(&operations::CREATE_SESSION, sessions::create_session),
            ),
            (
                "/v1/sessions/{id}",
                get(&operations::RETRIEVE_SESSION, sessions::retrieve_session)
                    .delete(&operations::DELETE_SESSION, sessions::delete_session),
            ),
            (
                "/v1/sessions/{id}/messages",
                get(&operations::LIST_SESSION_MESSAGES, sessions::list_messages).post(
                    &operations::CREATE_SESSION_MESSAGE,
                    sessions::create_message,
                ),
            ),
        ],
    );
    all(
        RequiredAuth::FirstMessage(Permission::Inference),
        vec![(
            "/v1/stream",
            get(&operations::OPEN_STREAM, stream::open)
                .map(|open| open.layer(Extension(UnauthenticatedSockets::default()))),
        )],
    );
    all(
        RequiredAuth::Permission(Permission::Responses),
        vec![
            (
                "/v1/responses/{id}",
                get(&operations::GET_RESPONSE, responses::retrieve_response)
                    .delete(&operations::DELETE_RESPONSE, responses::delete_response),
            ),
            (
                "/v1/responses/{id}/cancel",
                post(&operations::CANCEL_RESPONSE, responses::cancel_response),
            ),
            (
                "/v1/responses/{id}/input_items",
                get(&operations::LIST_INPUT_ITEMS, responses::list_input_items),
            ),
        ],
    );
    all(
        RequiredAuth::Permission(Permission::Responses),
        conversation_routes(),
    );
    all(
        RequiredAuth::Permission(Permission::Inference),
        message_batch_routes(),
    );
    all(RequiredAuth::Permission(Permission::Tasks), task_routes());
    all(
        RequiredAuth::Permission(Permission::Usage),
        vec![("/v1/usage", get(&operations::GET_USAGE, usage::usage))],
    );
    all(
        RequiredAuth::Key,
        vec![
            (
                "/v1/models",
                get(&operations::LIST_MODELS, models::list_models),
            ),
            (
                "/v1/models/{*id}",
                get(&operations::RETRIEVE_MODEL, models::retrieve_model),
            ),
            (
                "/v1/route",
                post(&operations::RECOMMEND_MODEL, route::recommend_model),
            ),
        ],
    );
    routes
}

fn message_batch_routes() -> Vec<(&'static str, DescribedMethods<AppState>)> {
    let all = get(
        &operations::LIST_MESSAGE_BATCHES,
        message_batches::list_message_batches,
    )
    .post(
        &operations::CREATE_MESSAGE_BATCH,
        message_batches::create_message_batch,
    );
    let one = get(
        &operations::RETRIEVE_MESSAGE_BATCH,
        message_batches::retrieve_message_batch,
    )
    .delete(
        &operations::DELETE_MESSAGE_BATCH,
        message_batches::delete_message_batch,
    );
    vec![
        ("/v1/messages/batches", all),
        ("/v1/messages/batches/{id}", one),
        (
            "/v1/messages/batches/{id}/cancel",
            post(
                &operations::CANCEL_MESSAGE_BATCH,
                message_batches::cancel_message_batch,
            ),
        ),
        (
            "/v1/messages/batches/{id}/results",
            get(
                &operations::MESSAGE_BATCH_RESULTS,
                message_batches::message_batch_results,
            ),
        ),
    ]
}

fn conversation_routes() -> Vec<(&'static str, DescribedMethods<AppState>)> {
    let one = get(
        &operations::GET_CONVERSATION,
        conversations::retrieve_conversation,
    )
    .post(
        &operations::UPDATE_CONVERSATION,
        conversations::update_conversation,
    );
    vec![
        (
            "/v1/conversations",
            post(
                &operations::CREATE_CONVERSATION,
                conversations::create_conversation,
            ),
        ),
        (
            "/v1/conversations/{id}",
            one.delete(
                &operations::DELETE_CONVERSATION,
                conversations::delete_conversation,
            ),
        ),
        (
            "/v1/conversations/{id}/items",
            get(
                &operations::LIST_CONVERSATION_ITEMS,
                conversations::list_items,
            )
            .post(
                &operations::CREATE_CONVERSATION_ITEMS,
                conversations::create_items,
            ),
        ),
        (
            "/v1/conversations/{id}/items/{item}",
            get(
                &operations::GET_CONVERSATION_ITEM,
                conversations::retrieve_item,
            )
            .delete(
                &operations::DELETE_CONVERSATION_ITEM,
                conversations::delete_item,
            ),
        ),
    ]
}

fn task_routes() -> Vec<(&'static str, DescribedMethods<AppState>)> {
    vec![
        (
            "/v1/tasks",
            get(&operations::LIST_TASKS, tasks::list_tasks)
                .post(&operations::CREATE_TASK, tasks::create_task),
        ),
        (
            "/v1/tasks/{id}",
            get(&operations::RETRIEVE_TASK, tasks::retrieve_task)
                .delete(&operations::DELETE_TASK, tasks::delete_task),
        ),
        (
            "/v1/tasks/{id}/interrupt",
            post(&operations::INTERRUPT_TASK, tasks::interrupt_task),
        ),
        (
            "/v1/tasks/{id}/handover",
            post(&operations::HAND_OVER_TASK, tasks::hand_over_task),
        ),
        (
            "/v1/tasks/{id}/events",
            get(&operations::STREAM_TASK_EVENTS, tasks::stream_events),
        ),
        (
            "/v1/tasks/{id}/ws",
            get(&operations::OPEN_TASK_SOCKET, tasks::open_socket),
        ),
        (
            "/v1/tasks/{id}/permissions/{request_id}",
            post(&operations::ANSWER_PERMISSION, tasks::answer_permission),
        ),
    ]
}

/// Routes that other servers answer. Without one, their clients get an explanation.
pub(super) fn forwarded_routes() -> impl Iterator<Item = RouteEntry> {
    let forward = |operation| post(operation, forwarded::forward);
    [
        ("/v1/embeddings", forward(&operations::CREATE_EMBEDDING)),
        ("/v1/moderations", forward(&operations::CREATE_MODERATION)),
        ("/v1/audio/speech", forward(&operations::CREATE_SPEECH)),
        (
            "/v1/audio/transcriptions",
            forward(&operations::CREATE_TRANSCRIPTION),
        ),
        (
            "/v1/audio/translations",
            forward(&operations::CREATE_TRANSLATION),
        ),
        ("/v1/images/generations", forward(&operations::CREATE_IMAGE)),
        ("/v1/images/edits", forward(&operations::CREATE_IMAGE_EDIT)),
        (
            "/v1/images/variations",
            forward(&operations::CREATE_IMAGE_VARIATION),
        ),
    ]
    .into_iter()
    .map(|(path, methods)| RouteEntry {
        path,
        need: RequiredAuth::Permission(Permission::Inference),
        methods,
    })
}

/// Paths of `OpenAI`'s API that are not supported, whose clients get an explanation. The document
/// leaves them out.
pub(super) fn unsupported_routes() -> impl Iterator<Item = RouteEntry> {
    [
        ("/v1/audio/{*rest}", any(unsupported)),
        ("/v1/images/{*rest}", any(unsupported)),
        ("/v1/uploads", any(no_uploads)),
        ("/v1/uploads/{*rest}", any(no_uploads)),
    ]
    .into_iter()
    .map(|(path, methods)| RouteEntry {
        path,
        need: RequiredAuth::Key,
        methods: DescribedMethods::hidden(methods),
    })
}

async fn unsupported(request: Request) -> ApiError {
    forwarded::unsupported(request.uri().path())
}

async fn no_uploads(request: Request) -> ApiError {
    let message = format!(
        "This server takes no files in parts, so there is no {}. Upload the file as a whole: POST /v1/files.",
        request.uri().path()
    );
    ApiError::new(ErrorKind::UnsupportedEndpoint, message)
}
