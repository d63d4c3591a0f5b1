//! What differs between the APIs in every answer.

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;

use super::request_id::RequestId;
use crate::http::error::ApiError;
use crate::http::error::Door;

/// Where Anthropic's clients look for the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Finds out which API the client takes this server for, and tells errors in its words, wherever on the way they arose.
pub(in crate::http) async fn layer(
    Extension(id): Extension<RequestId>,
    mut request: Request,
    next: Next,
) -> Response {
    let door = Door::of(&request);
    request.extensions_mut().insert(door);
    let mut response = next.run(request).await;
    if door == Door::Anthropic {
        response.headers_mut().insert(REQUEST_ID, id.header());
    }
    match response
        .extensions()
        .get::<ApiError>()
        .map(|error| error.told(door, id.as_str()))
    {
        Some(body) => response.map(|_| Body::from(body)),
        None => response,
    }
}
