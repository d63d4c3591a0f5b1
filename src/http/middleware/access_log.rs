//! Access log: one line per request, written when its last byte is sent or its client is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::Span;

use super::error_report::ErrorReports;
use super::panic;
use super::request_id::RequestId;
use super::request_trace::CLIENT_GONE;
use super::request_trace::COMPLETE;
use super::request_trace::FAILED;
use super::request_trace::PANICKED;
use super::request_trace::ServerSpan;
use crate::domain::Caller;
use crate::domain::LogText;
use crate::domain::RequestTrace;
use crate::engine::hooks::HookNotes;
use crate::http::error::ApiError;
use crate::http::pass_on::passed_request::AnsweringNode;
use crate::telemetry::metrics::HttpMetrics;
use crate::telemetry::metrics::RequestEnd;
use crate::telemetry::metrics::RequestExemplar;
use crate::telemetry::traces::TraceContext;
use crate::telemetry::traces::Tracer;

/// Facts about a request that are collected for its line. Clones share their content.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct RequestNotes(Arc<RequestNotesInner>);

#[derive(Debug, Default)]
struct RequestNotesInner {
    caller: OnceLock<Caller>,
    error: OnceLock<ApiError>,
    hooks: OnceLock<HookNotes>,
}

impl RequestNotes {
    /// Records the caller.
    pub(in crate::http) fn record_caller(&self, caller: &Caller) {
        self.0.caller.get_or_init(|| caller.clone());
    }

    /// Records the hooks that are called for the request.
    pub(in crate::http) fn record_hooks(&self, hooks: &HookNotes) {
        self.0.hooks.get_or_init(|| hooks.clone());
    }

    /// True if an error was recorded.
    pub(in crate::http) fn has_error(&self) -> bool {
        self.0.error.get().is_some()
    }

    /// Records an error; only the first is kept.
    pub(in crate::http) fn record_error(&self, error: &ApiError) {
        self.0.error.get_or_init(|| error.clone());
    }
}

/// Metrics and traces that requests are recorded in, and hooks that their errors are reported to.
#[derive(Debug, Clone)]
pub(in crate::http) struct RequestTelemetry {
    pub(in crate::http) metrics: HttpMetrics,
    pub(in crate::http) tracer: Tracer,
    pub(in crate::http) errors: ErrorReports,
}

/// Runs the request in its span; writes its line and counts it at the end.
pub(in crate::http) async fn layer(
    State(telemetry): State<RequestTelemetry>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut line = AccessLogLine::new(&request, telemetry);
    request.extensions_mut().insert(line.notes.clone());
    if line.trace.is_some() || line.id.report().is_some() {
        request.extensions_mut().insert(line.id.clone());
    }
    let span = line.span.clone();
    let answering = next.run(request).instrument(span);
    let mut response = line.exemplar().scope(answering).await;
    line.record_response(&response);
    let milliseconds = u64::try_from(line.start.elapsed().as_millis()).unwrap_or(u64::MAX);
    response
        .headers_mut()
        .insert("openai-processing-ms", HeaderValue::from(milliseconds));
    let trace = line.trace.as_ref().and_then(ServerSpan::header);
    response.headers_mut().extend(trace);
    response.map(|body| Body::new(LoggedBody::new(body, line)))
}

/// Log line under construction; written on drop, so that no path out of a request lacks one.
pub(in crate::http) struct AccessLogLine {
    span: Span,
    notes: RequestNotes,
    id: RequestId,
    method: Method,
    path: String,
    /// True if `path` is that of a route, and not of the client's choice.
    is_routed: bool,
    /// Server span of the request; `None` while traces are off.
    trace: Option<ServerSpan>,
    /// Metrics that count the request; `None` for messages of a socket, which is one request, and where
    /// another server has answered, which counts it.
    metrics: Option<HttpMetrics>,
    /// Other server that has answered; `None` if this one has.
    node: Option<AnsweringNode>,
    start: Instant,
    status: Option<StatusCode>,
    is_complete: bool,
    is_cancelled: bool,
}

impl AccessLogLine {
    fn new(request: &Request, telemetry: RequestTelemetry) -> Self {
        let RequestTelemetry {
            metrics,
            tracer,
            errors,
        } = telemetry;
        let mut id = request
            .extensions()
            .get::<RequestId>()
            .cloned()
            .unwrap_or_default();
        let trace = ServerSpan::begin(&tracer, request, &id);
        if let Some(trace) = &trace {
            id.set_trace(trace.span().request_trace());
        }
        id.set_report(errors.begin(request));
        let route = request.extensions().get::<MatchedPath>();
        let path = match route {
            Some(route) => route.as_str().to_owned(),
            None => LogText(request.uri().path()).to_string(),
        };
        Self {
            span: tracing::info_span!("request", request.id = id.as_str()),
            notes: RequestNotes::default(),
            method: request.method().clone(),
            path,
            is_routed: route.is_some(),
            trace,
            metrics: Some(metrics),
            node: None,
            start: Instant::now(),
            status: None,
            is_complete: false,
            is_cancelled: false,
            id,
        }
    }

    /// Starts the line of one message on the socket that the request `id` has opened at `path`.
    pub(in crate::http) fn for_message(
        id: &RequestId,
        caller: Option<&Caller>,
        path: &'static str,
    ) -> Self {
        let notes = RequestNotes::default();
        if let Some(caller) = caller {
            notes.record_caller(caller);
        }
        Self {
            span: tracing::info_span!("request", request.id = id.as_str()),
            notes,
            method: Method::GET,
            path: path.to_owned(),
            is_routed: true,
            trace: ServerSpan::begin_message(id, path),
            metrics: None,
            node: None,
            start: Instant::now(),
            status: Some(StatusCode::OK),
            is_complete: false,
            is_cancelled: false,
            id: id.clone(),
        }
    }

    /// Returns the place in a trace below which the answer is recorded.
    pub(in crate::http) fn request_trace(&self) -> RequestTrace {
        let trace = self.trace.as_ref();
        let trace = trace.map(|trace| trace.span().request_trace());
        trace.unwrap_or_default()
    }

    /// Returns the ids by which metrics name the request: the request id, and the trace id if the
    /// sampler keeps the trace however the request ends.
    pub(in crate::http) fn exemplar(&self) -> RequestExemplar {
        let exemplar = RequestExemplar::of_request(self.id.as_str());
        let context = self.trace.as_ref().map(|trace| trace.span().context());
        match context.filter(TraceContext::is_sampled) {
            Some(context) => exemplar.with_trace(&context.trace_id()),
            None => exemplar,
        }
    }

    /// Records the hooks that are called for the message.
    pub(in crate::http) fn record_hooks(&self, hooks: &HookNotes) {
        self.notes.record_hooks(hooks);
    }

    /// Records that the answer ends with `error`.
    pub(in crate::http) fn record_failure(&self, error: &ApiError) {
        self.notes.record_error(error);
    }

    /// Records that the client has the whole answer, and writes the line.
    pub(in crate::http) fn complete(mut self) {
        self.is_complete = true;
    }

    /// Records that the answer is `error`, and writes the line.
    pub(in crate::http) fn fail(self, error: &ApiError) {
        self.record_failure(error);
        self.complete();
    }

    /// Records that the client cancelled the rest of the answer, and writes the line.
    pub(in crate::http) fn cancel(mut self) {
        self.is_cancelled = true;
    }

    fn record_response(&mut self, response: &Response) {
        self.status = Some(response.status());
        if let Some(trace) = &mut self.trace {
            trace.set_status(response.status());
        }
        // hyper drops the body of a HEAD response without polling it.
        self.is_complete = self.method == Method::HEAD || response.body().is_end_stream();
        if let Some(error) = response.extensions().get::<ApiError>() {
            self.notes.record_error(error);
        }
        if let Some(hooks) = response.extensions().get::<HookNotes>() {
            self.notes.record_hooks(hooks);
        }
        if let Some(node) = response.extensions().get::<AnsweringNode>() {
            self.node = Some(node.clone());
            self.metrics = None;
        }
    }

    fn count(&self, duration: Duration) {
        let Some(metrics) = &self.metrics else {
            return;
        };
        metrics.count_request(&RequestEnd {
            route: self.is_routed.then_some(self.path.as_str()),
            method: self.method.as_str(),
            status: self.status.map_or(0, |status| status.as_u16()),
            error_code: self.notes.0.error.get().map(ApiError::code),
            duration,
        });
    }

    /// Reports the error of the request to hooks, if there is one.
    fn report_error(&self) {
        let Some(report) = self.id.report() else {
            return;
        };
        let noted = &self.notes.0;
        let panicked = || std::thread::panicking().then(panic::error);
        let Some(error) = noted.error.get().cloned().or_else(panicked) else {
            return;
        };
        let is_streamed = self.status == Some(StatusCode::OK);
        report.send(self.id.as_str(), noted.caller.get(), is_streamed, &error);
    }

    /// Returns how the response ended: complete, with an error as its last event, cancelled by the
    /// client, or cut off.
    fn end(&self) -> &'static str {
        if std::thread::panicking() {
            PANICKED
        } else if self.is_cancelled {
            "cancelled"
        } else if !self.is_complete {
            CLIENT_GONE
        } else if self.status == Some(StatusCode::OK) && self.notes.0.error.get().is_some() {
            FAILED
        } else {
            COMPLETE
        }
    }
}

impl Drop for AccessLogLine {
    fn drop(&mut self) {
        let trace = self.trace.take();
        let trace_id = trace
            .as_ref()
            .map(|trace| trace.span().context().trace_id());
        let noted = &self.notes.0;
        let error = noted.error.get();
        let error_text = error.map(ApiError::log_text);
        let hooks = noted.hooks.get().or_else(|| error.map(ApiError::hooks));
        let method = LogText(self.method.as_str()).to_string();
        let duration = self.start.elapsed();
        self.count(duration);
        let is_fault =
            error.is_some_and(|error| error.kind().is_fault()) || std::thread::panicking();
        let _entered = self.span.enter();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "access",
                    {
                        request.id = self.id.as_str(),
                        trace.id = trace_id.as_deref(),
                        caller = noted.caller.get().map(|caller| caller.name.as_str()),
                        method,
                        path = self.path,
                        status = self.status.map(|status| status.as_u16()),
                        duration_ms = duration.as_micros() as f64 / 1000.0,
                        end = self.end(),
                        node = self.node.as_ref().map(AnsweringNode::name),
                        hooks = hooks.and_then(HookNotes::header_value),
                        hooks.metadata = hooks.and_then(HookNotes::metadata_json),
                        error.code = error.map(ApiError::code),
                        error = error_text,
                    },
                    "request completed"
                )
            };
        }
        if is_fault {
            line!(warn);
        } else {
            line!(info);
        }
        if let Some(trace) = trace {
            trace.end(self.end(), noted.caller.get(), error);
        }
        self.report_error();
    }
}

/// Body that owns the line until it ends.
struct LoggedBody {
    inner: Body,
    line: AccessLogLine,
}

impl LoggedBody {
    fn new(inner: Body, line: AccessLogLine) -> Self {
        Self { inner, line }
    }
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let entered = this.line.span.enter();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        drop(entered);
        if frame.is_none() || this.inner.is_end_stream() {
            this.line.is_complete = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
