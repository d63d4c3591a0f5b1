//! Request id that relates a response, its log line and bug reports.

use axum::extract::Request;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::error_report::ErrorReport;
use crate::domain::RequestTrace;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID_LENGTH: usize = 128;

/// Id of a request, with the place in a trace at which the request is recorded, and the hooks that
/// its error is reported to.
#[derive(Debug, Clone)]
pub(in crate::http) struct RequestId {
    id: HeaderValue,
    trace: RequestTrace,
    report: Option<ErrorReport>,
}

impl RequestId {
    pub(in crate::http) fn as_str(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    pub(in crate::http) fn header(&self) -> HeaderValue {
        self.id.clone()
    }

    /// Returns the place in a trace.
    pub(in crate::http) fn trace(&self) -> &RequestTrace {
        &self.trace
    }

    /// Sets the place in a trace.
    pub(super) fn set_trace(&mut self, trace: RequestTrace) {
        self.trace = trace;
    }

    /// Returns the report of the request's error; `None` if no hook gets it.
    pub(super) fn report(&self) -> Option<&ErrorReport> {
        self.report.as_ref()
    }

    /// Sets the report of the request's error.
    pub(super) fn set_report(&mut self, report: Option<ErrorReport>) {
        self.report = report;
    }

    fn new(id: HeaderValue) -> Self {
        Self {
            id,
            trace: RequestTrace::default(),
            report: None,
        }
    }

    /// Returns the client's own id if it is safe in a log and a header.
    fn from_header(request: &Request) -> Option<Self> {
        let id = request.headers().get(HEADER)?;
        let is_valid = (1..=MAX_ID_LENGTH).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
        is_valid.then(|| Self::new(id.clone()))
    }
}

impl Default for RequestId {
    /// Generates a new id.
    fn default() -> Self {
        let id = format!("req_{}", Uuid::new_v4().simple());
        Self::new(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_0")))
    }
}

/// Assigns an id to the request and sets it on the response.
pub(in crate::http) async fn layer(mut request: Request, next: Next) -> Response {
    let id = RequestId::from_header(&request).unwrap_or_default();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(HEADER, id.id);
    response
}
