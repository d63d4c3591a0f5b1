//! The largest body, for every route.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::Limited;

use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::Kind;

/// Refuses a body that says it is over the limit, before a byte of it is read, and stops one that turns out to be.
pub(in crate::http) async fn layer(
    State(config): State<Arc<Config>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > config.body_limit as u64)
    {
        return Err(too_large(config.body_limit));
    }
    let limit = config.body_limit;
    Ok(next.run(request.map(|body| Body::new(Limited::new(body, limit)))).await)
}

/// The body is over `limit` bytes.
pub(in crate::http) fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Kind::TooLarge,
        format!("The request body is larger than the {limit} bytes this server takes."),
    )
}
