//! Server span of a request: its beginning by the request's headers, and its end by the access log.

use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::uri::Authority;

use super::request_id::RequestId;
use crate::domain::Caller;
use crate::http::canonical_path::RequestedPath;
use crate::http::error::ApiError;
use crate::telemetry::traces::OpenSpan;
use crate::telemetry::traces::SpanScope;
use crate::telemetry::traces::TraceContext;
use crate::telemetry::traces::Tracer;
use crate::telemetry::traces::keys;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Name of a method that HTTP does not define.
const OTHER_METHOD: &str = "_OTHER";
/// End of an answer that the client has whole, in the access log.
pub(super) const COMPLETE: &str = "complete";
/// End of an answer with an error as its last event.
pub(super) const FAILED: &str = "failed";
/// End of an answer whose client has left.
pub(super) const CLIENT_GONE: &str = "client_gone";
/// End of a request by a fault of this program.
pub(super) const PANICKED: &str = "panicked";

/// Span of a request, or of a message on a socket.
#[derive(Debug)]
pub(super) struct ServerSpan(OpenSpan);

impl ServerSpan {
    /// Begins the span of `request`, in the trace that its headers name; `None` while traces are
    /// off.
    pub(super) fn begin(tracer: &Tracer, request: &Request, id: &RequestId) -> Option<Self> {
        if !tracer.is_on() {
            return None;
        }
        let headers = request.headers();
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map(MatchedPath::as_str);
        let method = method_name(request.method());
        let name = match route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        let mut span = tracer.begin_request(name, incoming(headers).as_ref())?;
        let sent = request.extensions().get::<RequestedPath>();
        let path = sent.map_or_else(|| request.uri().path(), RequestedPath::as_str);
        span.set(keys::HTTP_METHOD, method);
        span.set_if_some(keys::HTTP_ROUTE, route);
        span.set(keys::URL_PATH, path);
        span.set(keys::URL_SCHEME, "http");
        span.set(keys::REQUEST_ID, id.as_str());
        let host = headers.get(header::HOST).and_then(text);
        if let Some(host) = host.and_then(|host| host.parse::<Authority>().ok()) {
            span.set(keys::SERVER_ADDRESS, host.host());
            span.set_if_some(keys::SERVER_PORT, host.port_u16());
        }
        let agent = headers.get(header::USER_AGENT).and_then(text);
        span.set_if_some(keys::USER_AGENT, agent);
        Some(Self(span))
    }

    /// Begins the span of a message on the socket that the request `id` has opened at `route`.
    pub(super) fn begin_message(id: &RequestId, route: &'static str) -> Option<Self> {
        let scope = SpanScope::from_trace(id.trace())?;
        let mut span = scope.begin_message(format!("message {route}"));
        span.set(keys::HTTP_ROUTE, route);
        span.set(keys::REQUEST_ID, id.as_str());
        Some(Self(span))
    }

    /// Returns the span, below which the request is recorded.
    pub(super) fn span(&self) -> &OpenSpan {
        &self.0
    }

    /// Returns the header `traceparent` of the answer, which names the span.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_str(&self.0.context().traceparent());
        Some((TRACEPARENT, value.ok()?))
    }

    /// Sets the status of the answer.
    pub(super) fn set_status(&mut self, status: StatusCode) {
        self.0.set(keys::HTTP_STATUS, status.as_u16());
    }

    /// Ends the span of a request of `caller`. `end` is how the answer ended, in the words of the
    /// access log, and `error` the error that it has or is.
    pub(super) fn end(
        mut self,
        end: &'static str,
        caller: Option<&Caller>,
        error: Option<&ApiError>,
    ) {
        let span = &mut self.0;
        span.set(keys::END, end);
        let is_fault = end == PANICKED || error.is_some_and(|error| error.kind().is_fault());
        match caller {
            Some(caller) => {
                span.set(keys::KEY, caller.name.as_str());
                span.set(keys::PROJECT, caller.project.as_str());
            }
            // Anyone can send these, in any number, and say that their trace is sampled.
            None if !is_fault => span.mark_anonymous(),
            None => {}
        }
        match (end, error) {
            (PANICKED, _) => span.fail(PANICKED),
            (CLIENT_GONE, _) => span.refuse(CLIENT_GONE),
            (COMPLETE | FAILED, Some(error)) if is_fault => span.fail(error.code()),
            (COMPLETE | FAILED, Some(error)) => span.refuse(error.code()),
            _ => {}
        }
    }
}

/// Reads the trace context of a request; one that is not valid is ignored.
fn incoming(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let states = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str);
    // One member that is not text makes the whole list invalid.
    let states: Vec<&str> = states.collect::<Result<_, _>>().unwrap_or_default();
    let state = Some(states.join(",")).filter(|state| !state.is_empty());
    TraceContext::parse(text(parent)?, state.as_deref())
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => OTHER_METHOD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        incoming(&map)
    }

    #[test]
    fn trace_context_is_read_from_one_header_and_its_state_from_all() {
        let found = context(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.traceparent(), PARENT);
        assert_eq!(found.tracestate(), Some("a=1,b=2"));
        assert_eq!(context(&[]), None);
        assert_eq!(context(&[("tracestate", "a=1")]), None);
        assert_eq!(context(&[("traceparent", "odd")]), None);
        let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
        assert_eq!(context(&twice), None);
        let odd_state = context(&[("traceparent", PARENT), ("tracestate", "odd")]);
        assert_eq!(odd_state.unwrap().tracestate(), None);
    }

    #[test]
    fn unknown_methods_share_one_name() {
        assert_eq!(method_name(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
        assert_eq!(method_name(&Method::PATCH), "PATCH");
    }
}
