//! Host check that protects a server without keys against DNS rebinding. Such a server listens on
//! loopback only, so foreign requests can come only through a browser: from pages of other sites
//! (see [`cors`](super::cors)), or from a page whose own name resolves to 127.0.0.1, which shows
//! in `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;

use crate::accounts::auth::Keys;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Without keys, refuses requests for other hosts.
pub(in crate::http) async fn layer(
    State(keys): State<Arc<Keys>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if keys.is_open() && !is_asked_by_own_name(&request) {
        return Err(ApiError::new(
            ErrorKind::ForbiddenHost,
            "This server runs without keys and therefore serves only its own machine, as localhost or 127.0.0.1. \
             To reach it by another name, configure a key.",
        ));
    }
    Ok(next.run(request).await)
}

/// Refuses requests for the metrics of other hosts, on a listener that asks for no token.
pub(in crate::http) async fn metrics_layer(
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !is_asked_by_own_name(&request) {
        return Err(ApiError::new(
            ErrorKind::ForbiddenHost,
            "These metrics need no token and are therefore served only to this machine, as localhost or 127.0.0.1. \
             To scrape them by another name, set `metrics.token` in the configuration of the server.",
        ));
    }
    Ok(next.run(request).await)
}

/// Returns true if the request names this machine as its host.
pub(in crate::http) fn is_asked_by_own_name(request: &Request) -> bool {
    let has_own_host = is_single(request.headers(), &header::HOST, |host| {
        host.parse::<Authority>()
            .is_ok_and(|authority| is_this_host(authority.host()))
    });
    has_own_host && request.uri().host().is_none_or(is_this_host)
}

/// Returns true if the header occurs once and `accepts` its value. A second one could bypass the
/// check.
pub(in crate::http) fn is_single(
    headers: &HeaderMap,
    name: &HeaderName,
    accepts: impl Fn(&str) -> bool,
) -> bool {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().is_ok_and(accepts),
        _ => false,
    }
}

pub(super) fn is_this_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_host() {
        for host in [
            "localhost",
            "LocalHost.",
            "app.localhost",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_this_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evillocalhost",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
            "127.1",
        ] {
            assert!(!is_this_host(host), "{host}");
        }
    }
}
