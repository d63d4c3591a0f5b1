//! Files of the page, which anybody who reaches the dashboard may load: they contain no data.

use axum::extract::Path;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
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
use crate::http::page_file::CONTENT_SECURITY_POLICY;

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
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cache = headers.entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    response
}
