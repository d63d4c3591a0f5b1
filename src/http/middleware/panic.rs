//! Conversion of a handler's panic to an error response.

use std::any::Any;

use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Returns the response of a handler that panicked. The panic message is left to the panic hook,
/// because it may quote a prompt.
pub(in crate::http) fn response(_panic: Box<dyn Any + Send>) -> Response {
    error().into_response()
}

/// Returns the error of a request whose handling panicked.
pub(super) fn error() -> ApiError {
    ApiError::new(
        ErrorKind::Internal,
        "This server failed on the request. That is a bug; see its log.",
    )
}
