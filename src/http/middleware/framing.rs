//! Protection against request smuggling: refuses requests that two HTTP parsers may read
//! differently, because of an odd `Host`, two lengths, or an unusual transfer coding.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Version;
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Only supported transfer coding.
const CHUNKED: &str = "chunked";

/// Marks a request that came with both `Content-Length` and `Transfer-Encoding`.
#[derive(Debug, Clone, Copy)]
pub struct AmbiguousLength;

/// Refuses ambiguous requests and closes their connections.
pub(in crate::http) async fn layer(request: Request, next: Next) -> Response {
    let refusal = match check(&request) {
        Ok(()) => return next.run(request).await,
        Err(refusal) => refusal,
    };
    let mut response = refusal.into_response();
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn check(request: &Request) -> Result<(), ApiError> {
    if request.extensions().get::<AmbiguousLength>().is_some() {
        let message = "`Content-Length` and `Transfer-Encoding` cannot stand together: it is not certain where such a body ends. \
                       Send one of them.";
        return Err(ApiError::new(ErrorKind::InvalidRequest, message));
    }
    if let Some(coding) = other_coding(request.headers()) {
        let message = format!(
            "`Transfer-Encoding`: this server reads `chunked` alone, not `{coding}`. Name a compression in `Content-Encoding`."
        );
        return Err(ApiError::new(ErrorKind::UnsupportedCoding, message));
    }
    check_host(request)
}

/// Returns the transfer codings of the body unless there is none or only `chunked`.
fn other_coding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<_> = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let codings = codings.join(&b", "[..]);
    let is_read = codings.is_empty()
        || codings
            .trim_ascii()
            .eq_ignore_ascii_case(CHUNKED.as_bytes());
    let shown = || {
        String::from_utf8_lossy(&codings)
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect()
    };
    (!is_read).then(shown)
}

/// Checks that there is exactly one valid `Host`, which HTTP/1.1 demands even if the target names
/// the host.
fn check_host(request: &Request) -> Result<(), ApiError> {
    let hosts: Vec<_> = request.headers().get_all(header::HOST).iter().collect();
    let words = match *hosts {
        [] if request.version() < Version::HTTP_11 => return Ok(()),
        [] => "is missing",
        [host] if is_host(host) => return Ok(()),
        [host] if host.is_empty() => "is empty",
        [_] => "is no host",
        _ => "stands there more than once",
    };
    let message = format!("The header `Host` {words}. Send it once, as HOST or HOST:PORT.");
    Err(ApiError::new(ErrorKind::InvalidRequest, message))
}

fn is_host(host: &HeaderValue) -> bool {
    let Some(authority) = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok())
    else {
        return false;
    };
    let host = authority.host();
    let text = authority.as_str();
    // An empty port is allowed, a non-numeric one is not.
    let port = text
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(':'));
    let has_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    // A comma would mean two hosts, joined by a proxy in front of this server.
    !host.is_empty() && !text.contains(['@', ',']) && has_port && (port.is_some() || text == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_a_name_or_address_with_an_optional_port() {
        for host in [
            "localhost",
            "localhost:8080",
            "a_b.example.",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "a:",
        ] {
            assert!(is_host(&HeaderValue::from_str(host).unwrap()), "{host}");
        }
        for host in [
            "",
            " ",
            ":80",
            "a b",
            "user@host",
            "user:word@host:80",
            "@host",
            "host:port",
            "host:99999",
            "a:1:2",
            "[::1",
            "::1]",
            "http://host",
            "host/path",
            "host?query",
            "a,b",
            "\u{e9}",
            "[::1]x",
        ] {
            let value = HeaderValue::from_bytes(host.as_bytes()).unwrap();
            assert!(!is_host(&value), "{host}");
        }
    }
}
