//! Detects the client's API (OpenAI or Anthropic) and renders errors in its format.

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;

use super::request_id::RequestId;
use crate::http::error::ApiError;
use crate::http::error::ApiFlavor;

/// Header in which Anthropic's clients expect the request id.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Detects the API flavor of the request, and writes the bodies of errors from all inner layers and
/// handlers.
pub(in crate::http) async fn layer(
    Extension(id): Extension<RequestId>,
    mut request: Request,
    next: Next,
) -> Response {
    let flavor = ApiFlavor::detect(&request);
    request.extensions_mut().insert(flavor);
    let mut response = next.run(request).await;
    if flavor == ApiFlavor::Anthropic {
        response.headers_mut().insert(REQUEST_ID, id.header());
    }
    match response
        .extensions()
        .get::<ApiError>()
        .map(|error| error.render_for(flavor, id.as_str()))
    {
        Some(body) => response.map(|_| Body::from(body)),
        None => response,
    }
}
