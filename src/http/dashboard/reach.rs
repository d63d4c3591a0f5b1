//! Reach of the dashboard: who may see it at all, by the listener that serves it.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::host_check::is_asked_by_own_name;

/// Browsers that may see the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum DashboardReach {
    /// All that reach the listener, which is the operator's own.
    Listener,
    /// Browsers on the same machine that connect directly, not through a proxy.
    ThisMachine,
}

/// Headers of a proxy, which answers for other machines.
const PROXY_HEADERS: [&str; 6] = [
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-real-ip",
];
/// Start of the names of further ones.
const PROXY_HEADER_PREFIX: &str = "x-forwarded-";
const OTHER_MACHINE: &str = "The dashboard of this listener is for browsers of the server's machine alone. To reach it \
    from elsewhere, set `admin.listen` in the configuration, which gives the admin API and the dashboard a listener of \
    their own, or use `ssh -L`.";

/// Refuses browsers of other machines.
pub(super) async fn local_layer(request: Request, next: Next) -> Response {
    if is_local(&request) {
        return next.run(request).await;
    }
    off(request.headers(), OTHER_MACHINE)
}

fn is_local(request: &Request) -> bool {
    let connection = request.extensions().get::<Connection>();
    let is_peer_local =
        connection.is_some_and(|connection| connection.address.to_canonical().is_loopback());
    let mut names = request.headers().keys();
    let is_forwarded = names.any(|name| is_of_proxy(name.as_str()));
    is_peer_local && !is_forwarded && is_asked_by_own_name(request)
}

fn is_of_proxy(header: &str) -> bool {
    header.starts_with(PROXY_HEADER_PREFIX) || PROXY_HEADERS.contains(&header)
}

/// Answers that there is no dashboard, and why: a page for browsers, an error for all others.
pub(super) fn off(headers: &HeaderMap, reason: &'static str) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        return (StatusCode::NOT_FOUND, Html(off_page(reason))).into_response();
    }
    ApiError::new(ErrorKind::DashboardOff, reason).into_response()
}

fn off_page(reason: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>No dashboard here</title>\n\
         <h1>No dashboard here</h1>\n<p>{reason}</p>\n"
    )
}
