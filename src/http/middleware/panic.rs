//! A panic costs its request and nothing else.

use std::any::Any;

use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::http::error::ApiError;
use crate::http::error::Kind;

/// The response of a handler that panicked. What it panicked with is left to the panic hook: it may quote a prompt.
pub(in crate::http) fn response(_panic: Box<dyn Any + Send>) -> Response {
    ApiError::new(
        Kind::Internal,
        "This server failed on the request. That is a bug; its log tells more.",
    )
    .into_response()
}
