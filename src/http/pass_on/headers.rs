//! Headers of requests that are passed on, and of their answers.

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;

use crate::http::middleware::request_id::RequestId;
use crate::telemetry::traces::SpanScope;

/// Name of the server that a passed request is for, and that has answered it.
pub(in crate::http) const NODE: HeaderName = HeaderName::from_static("x-switchboard-node");
/// Secret of the servers, in a passed request.
pub(super) const SECRET: HeaderName = HeaderName::from_static("x-switchboard-node-secret");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Headers of one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Headers of a request that are made anew, or that this server has checked in place of the other one.
const OF_THIS_SERVER: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::ORIGIN,
];

/// Returns the headers of a request as they are passed on: those of the client, with the `id` of the
/// request and its place in a trace.
pub(super) fn request_headers(client: &HeaderMap, id: Option<&RequestId>) -> HeaderMap {
    let mut headers = client.clone();
    remove_hop_by_hop(&mut headers);
    for name in OF_THIS_SERVER {
        headers.remove(name);
    }
    let Some(id) = id else {
        return headers;
    };
    headers.insert(REQUEST_ID, id.header());
    let place = SpanScope::from_trace(id.trace()).map(|scope| scope.context().traceparent());
    if let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) {
        headers.insert(TRACEPARENT, place);
    }
    headers
}

/// Returns the headers of the other server's answer as they are passed back, without those that this
/// server sets itself.
pub(super) fn answer_headers(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    for name in [NODE, TRACEPARENT, header::VARY] {
        headers.remove(name);
    }
    headers
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    for name in named {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn headers_of_one_connection_are_not_passed_on() {
        let sent = headers(&[
            ("connection", "close, X-Odd"),
            ("x-odd", "1"),
            ("host", "balancer"),
            ("origin", "https://page.example"),
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer key"),
            ("last-event-id", "3"),
        ]);
        let id = RequestId::default();
        let passed = request_headers(&sent, Some(&id));
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "last-event-id", "x-request-id"]);
        assert_eq!(passed["x-request-id"], id.header());
    }

    #[test]
    fn name_of_the_other_server_is_not_passed_back() {
        let answered = headers(&[
            ("x-switchboard-node", "n"),
            ("vary", "origin"),
            ("traceparent", "00-1"),
            ("content-type", "text/event-stream"),
        ]);
        let passed = answer_headers(answered);
        assert_eq!(passed.len(), 1);
        assert_eq!(passed["content-type"], "text/event-stream");
    }
}
