//! Checks that requests to the API of the dashboard pass: own page, session, rights.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::Limited;
use tokio::time::sleep_until;

use super::SESSION_PATH;
use super::cookie;
use crate::domain::Caller;
use crate::domain::LogText;
use crate::http::connection::Connection;
use crate::http::dashboard_sessions::DashboardRole;
use crate::http::dashboard_sessions::DashboardSessions;
use crate::http::dashboard_sessions::OpenRequest;
use crate::http::dashboard_sessions::OpenedSession;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::middleware::request_id::RequestId;

/// Header that a page of another site cannot send without asking.
const WRITE_HEADER: &str = "x-switchboard-dashboard";
/// Maximum size of a sign-in, in bytes: a stranger sends it.
const MAX_SIGN_IN_BYTES: usize = 4096;
/// Caller name of the dashboard in the access log.
const DASHBOARD_CALLER: &str = "dashboard";

/// Refuses what changes something and does not come from a page of this server.
pub(super) async fn page_layer(request: Request, next: Next) -> Result<Response, ApiError> {
    let headers = request.headers();
    let has_header = headers.get(WRITE_HEADER).is_some_and(|value| value == "1");
    if is_read(request.method()) || (has_header && cookie::is_own_origin(headers)) {
        return Ok(next.run(request).await);
    }
    Err(ApiError::new(
        ErrorKind::ForbiddenOrigin,
        "Only the dashboard's own page may change something: with the header `x-switchboard-dashboard: 1`, and with `Origin` \
         equal to the scheme and `Host` of this server. A proxy in front has to pass `Host` on, and to set `X-Forwarded-Proto`.",
    ))
}

/// Refuses requests without a session, and changes in a read-only one. Logs changes.
pub(super) async fn session_layer(
    State(sessions): State<DashboardSessions>,
    Extension(notes): Extension<RequestNotes>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_sign_in(&request) {
        let request = request.map(|body| Body::new(Limited::new(body, MAX_SIGN_IN_BYTES)));
        return Ok(next.run(request).await);
    }
    let secret = cookie::session_secret(request.headers());
    let opened = secret.and_then(|secret| sessions.open(secret));
    let (opened, open) = opened.ok_or_else(signed_out)?;
    let session = opened.session.clone();
    let is_write = !is_read(request.method());
    if is_write && session.role == DashboardRole::ReadOnly && !is_sign_out(&request) {
        return Err(read_only());
    }
    admit(&mut request, &notes);
    let method = request.method().clone();
    let path = LogText(request.uri().path()).to_string();
    request.extensions_mut().insert(session.clone());
    let response = next.run(request).await;
    if is_write {
        let status = response.status().as_u16();
        tracing::info!(session.id = session.id, %method, path, status, "dashboard change");
    }
    // A whole body is sent to its end, also that of the answer to a sign-out.
    if response.body().size_hint().exact().is_some() {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(SessionBody::new(body, opened, open))))
}

/// Records the caller of an admitted request.
fn admit(request: &mut Request, notes: &RequestNotes) {
    let extensions = request.extensions();
    if let Some(connection) = extensions.get::<Connection>() {
        // From here on the connection cannot be evicted as unauthenticated.
        connection.unauthenticated.mark_authenticated();
    }
    let trace = extensions.get::<RequestId>().map(|id| id.trace().clone());
    let caller = Caller {
        trace: trace.unwrap_or_default(),
        ..Caller::named(DASHBOARD_CALLER)
    };
    notes.record_caller(&caller);
    request.extensions_mut().insert(caller);
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// True for the one request that needs no session.
fn is_sign_in(request: &Request) -> bool {
    is_of_session(request) && request.method() == Method::POST
}

/// True for the one change that a read-only session may make.
fn is_sign_out(request: &Request) -> bool {
    is_of_session(request) && request.method() == Method::DELETE
}

fn is_of_session(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| route.as_str() == SESSION_PATH)
}

/// Error: no session, or one that is over.
fn signed_out() -> ApiError {
    ApiError::new(
        ErrorKind::DashboardSignedOut,
        "You are signed out, or the session is over. `claude-switchboard dashboard` prints a link that signs in; the admin \
         key does it too.",
    )
}

fn read_only() -> ApiError {
    ApiError::new(
        ErrorKind::DashboardReadOnly,
        "This session may only read. `claude-switchboard dashboard` without --read-only prints a link for one that may \
         change things.",
    )
}

/// Streamed body that ends with the session. The session is not idle until it is dropped.
struct SessionBody {
    inner: Body,
    /// Completes at the end of the session.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_ended: bool,
    _open: OpenRequest,
}

impl SessionBody {
    fn new(inner: Body, session: OpenedSession, open: OpenRequest) -> Self {
        let OpenedSession { ended, ends, .. } = session;
        let end = async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = sleep_until(ends) => {}
            }
        };
        Self {
            inner,
            end: Box::pin(end),
            has_ended: false,
            _open: open,
        }
    }
}

impl HttpBody for SessionBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // A completed future is not polled again.
        this.has_ended = this.has_ended || this.end.as_mut().poll(context).is_ready();
        if this.has_ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut this.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
