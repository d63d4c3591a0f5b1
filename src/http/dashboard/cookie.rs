//! Cookie of a session, and the address bar's view of the server: scheme and origin.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;

use crate::http::dashboard_sessions::MAX_LIFETIME;
use crate::http::middleware::host_check::is_single;

/// Cookie over TLS, which browsers accept from this very host alone.
const SECURE_COOKIE: &str = "__Host-switchboard";
/// Cookie without TLS, as on loopback.
const PLAIN_COOKIE: &str = "switchboard-dashboard";
/// Header of a proxy that ends TLS.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// True if the browser speaks TLS, as a proxy in front of this server says.
///
/// A client that lies here gets a cookie that its browser refuses, and nothing else.
fn is_https(headers: &HeaderMap) -> bool {
    let proto = headers.get(FORWARDED_PROTO);
    let proto = proto.and_then(|value| value.to_str().ok());
    let first = proto.and_then(|value| value.split(',').next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

/// True if the page that sends the request is of this server: `Origin` is scheme and `Host`.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let scheme = if is_https(headers) { "https" } else { "http" };
    let is_own_host =
        |host: &str| is_single(headers, &header::HOST, |own| own.eq_ignore_ascii_case(host));
    is_single(headers, &header::ORIGIN, |origin| {
        let parts = origin.split_once("://");
        parts.is_some_and(|(given, host)| given == scheme && is_own_host(host))
    })
}

/// Returns the value of the session's cookie; `None` if there is none.
pub(super) fn session_secret(headers: &HeaderMap) -> Option<&str> {
    let wanted = cookie_name(headers);
    let values = headers.get_all(header::COOKIE).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Returns the header that sets the cookie of a session to `secret`.
pub(super) fn set_cookie(headers: &HeaderMap, secret: &str) -> Option<HeaderValue> {
    cookie(headers, secret, MAX_LIFETIME.as_secs())
}

/// Returns the header that removes the cookie.
pub(super) fn remove_cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    cookie(headers, "", 0)
}

fn cookie(headers: &HeaderMap, value: &str, seconds: u64) -> Option<HeaderValue> {
    let name = cookie_name(headers);
    let place = if is_https(headers) {
        "Path=/; Secure"
    } else {
        "Path=/dashboard"
    };
    let text = format!("{name}={value}; {place}; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn cookie_name(headers: &HeaderMap) -> &'static str {
    if is_https(headers) {
        SECURE_COOKIE
    } else {
        PLAIN_COOKIE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn origin_is_own_only_with_scheme_and_host_of_the_request() {
        let is_own = |list: &[(&'static str, &'static str)]| is_own_origin(&headers(list));
        let host = ("host", "localhost:8080");
        assert!(is_own(&[host, ("origin", "http://localhost:8080")]));
        let tls = ("x-forwarded-proto", "https");
        assert!(is_own(&[host, ("origin", "https://localhost:8080"), tls]));
        for origin in [
            "https://localhost:8080",
            "http://localhost:8081",
            "http://localhost",
            "http://evil.example",
            "null",
            "",
        ] {
            assert!(!is_own(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!is_own(&[host]));
        let twice = ("origin", "http://localhost:8080");
        assert!(!is_own(&[host, twice, twice]));
    }

    #[test]
    fn cookie_is_found_among_others_by_the_name_of_its_scheme() {
        let list = [
            ("cookie", "a=1; switchboard-dashboard=s1"),
            ("cookie", "__Host-switchboard=s2"),
        ];
        assert_eq!(session_secret(&headers(&list)), Some("s1"));
        let tls = [list[0], list[1], ("x-forwarded-proto", "https")];
        assert_eq!(session_secret(&headers(&tls)), Some("s2"));
        assert_eq!(session_secret(&headers(&list[1..])), None);
    }

    #[test]
    fn cookie_is_out_of_reach_for_scripts_and_other_sites() {
        let plain = set_cookie(&HeaderMap::new(), "s").unwrap();
        assert_eq!(
            plain.to_str().unwrap(),
            "switchboard-dashboard=s; Path=/dashboard; HttpOnly; SameSite=Strict; Max-Age=604800"
        );
        let tls = headers(&[("x-forwarded-proto", "https")]);
        assert_eq!(
            set_cookie(&tls, "s").unwrap().to_str().unwrap(),
            "__Host-switchboard=s; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=604800"
        );
        let removed = remove_cookie(&HeaderMap::new()).unwrap();
        assert!(removed.to_str().unwrap().ends_with("Max-Age=0"));
    }
}
