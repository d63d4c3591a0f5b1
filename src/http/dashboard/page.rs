//! Files of the page, which anybody who reaches the dashboard may load: they contain no data.

use axum::extract::Path;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Redirect;
use axum::response::Response;

use super::assets;
use crate::http::canonical_path::RequestedPath;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::page_file::set_page_policy;

/// Returns the page itself. Its relative paths need the slash at the end, so without it the browser
/// is sent there.
pub(super) async fn index(request: Request) -> Response {
    let sent = request.extensions().get::<RequestedPath>();
    let path = sent.map_or(request.uri().path(), RequestedPath::as_str);
    if !path.ends_with('/') {
        return Redirect::permanent("/dashboard/").into_response();
    }
    file_or_unknown("index.html", request.headers())
}

/// Returns a file of the page.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file_or_unknown(&name, &headers)
}

fn file_or_unknown(name: &str, headers: &HeaderMap) -> Response {
    match assets::find(name) {
        Some(file) => file.answer(headers),
        None => unknown().into_response(),
    }
}

/// Answers requests for paths of the API that do not exist.
pub(super) async fn unknown_path() -> ApiError {
    unknown()
}

fn unknown() -> ApiError {
    ApiError::new(
        ErrorKind::UnknownUrl,
        "The dashboard has no such file or path. Its page is /dashboard/.",
    )
}

/// Sets the headers that keep other pages, caches and media types out of the answers.
pub(super) async fn protect_layer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    set_page_policy(headers);
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    let cache = headers.entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    response
}
