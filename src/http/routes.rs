//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use tower_http::catch_panic::CatchPanicLayer;

use super::AppState;
use super::error::ApiError;
use super::error::Kind;
use super::middleware::access_log;
use super::middleware::authenticate;
use super::middleware::body_limit;
use super::middleware::door;
use super::middleware::local_only;
use super::middleware::panic;
use super::middleware::request_id;
use super::ops;
use super::v1::chat;
use super::v1::completions;
use super::v1::messages;
use super::v1::models;
use super::v1::responses;
use super::v1::route;

/// The paths that need no key. Every other one does, those that do not exist included.
pub(super) const OPEN: [&str; 2] = ["/health", "/ready"];

/// Everything the server answers.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion))
        .route("/v1/messages", post(messages::create_message))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/responses", post(responses::create_response).get(responses::socket::open))
        .route("/v1/responses/input_tokens", post(responses::count_input_tokens))
        .route("/v1/responses/compact", post(responses::compact))
        .route("/v1/responses/{id}", get(responses::retrieve_response).delete(responses::delete_response))
        .route("/v1/responses/{id}/cancel", post(responses::cancel_response))
        .route("/v1/responses/{id}/input_items", get(responses::list_input_items))
        .route("/v1/models", get(models::list_models))
        .route("/v1/models/{*id}", get(models::retrieve_model))
        .route("/v1/route", post(route::recommend_model))
        .route("/v1/embeddings", any(unsupported))
        .route("/v1/moderations", any(unsupported))
        .route("/v1/audio/{*rest}", any(unsupported))
        .route("/v1/images/{*rest}", any(unsupported))
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .fallback(unknown_url)
        .method_not_allowed_fallback(method_not_allowed)
        // From the inside out: the last one is the first a request meets.
        .layer(from_fn_with_state(Arc::clone(&state.config), body_limit::layer))
        .layer(from_fn_with_state(Arc::clone(&state.keys), authenticate::layer))
        .layer(from_fn_with_state(Arc::clone(&state.keys), local_only::layer))
        .layer(CatchPanicLayer::custom(panic::response))
        .layer(from_fn(door::layer))
        .layer(from_fn(access_log::layer))
        .layer(from_fn(request_id::layer))
        .with_state(state)
}

async fn unsupported(request: Request) -> ApiError {
    let message = format!(
        "Claude has no model for {}, and this server no other. It serves chat: POST /v1/chat/completions, \
         POST /v1/responses and POST /v1/messages.",
        request.uri().path()
    );
    ApiError::new(Kind::UnsupportedEndpoint, message)
}

async fn unknown_url(request: Request) -> ApiError {
    let message = format!(
        "Unknown request URL: {} {}. This server serves POST /v1/chat/completions, POST /v1/responses, \
         POST /v1/completions, POST /v1/messages, POST /v1/messages/count_tokens, GET /v1/models and \
         GET /v1/models/{{model}}; the base URL of OpenAI's clients ends in /v1, that of Anthropic's does not.",
        request.method(),
        request.uri().path()
    );
    ApiError::new(Kind::UnknownUrl, message)
}

async fn method_not_allowed(request: Request) -> ApiError {
    let message = format!(
        "{} is not a method of {}. The `Allow` header of this response names those it has.",
        request.method(),
        request.uri().path()
    );
    ApiError::new(Kind::MethodNotAllowed, message)
}
