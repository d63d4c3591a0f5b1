//! CORS: which pages may call the server. Browsers send the origin of a page, and check the
//! response headers before a page may read an answer. They check neither WebSockets nor simple
//! requests before sending them, so those are refused here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;

use super::authenticate::wants_socket;
use super::host_check::is_single;
use super::host_check::is_this_host;
use crate::accounts::auth::Keys;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Value of `allowed_origins` that allows every origin.
const ANY_ORIGIN: &str = "*";
/// Methods of the API that pages may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Preflight cache time in seconds: the longest that browsers accept.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// CORS policy of the server.
#[derive(Debug, Clone)]
pub(in crate::http) struct Cors {
    keys: Arc<Keys>,
    config: Arc<Config>,
}

impl Cors {
    pub(in crate::http) fn new(keys: &Arc<Keys>, config: &Arc<Config>) -> Self {
        Self {
            keys: Arc::clone(keys),
            config: Arc::clone(config),
        }
    }

    /// Returns true if the origin in `headers` may call: local, allowed, or this server's own.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        is_single(headers, &header::ORIGIN, |origin| {
            let authority = origin
                .split_once("://")
                .and_then(|(_, rest)| rest.parse::<Authority>().ok());
            let is_local = authority
                .as_ref()
                .is_some_and(|authority| is_this_host(authority.host()));
            let is_own =
                |authority: Authority| is_single(headers, &header::HOST, |host| authority == host);
            is_local || self.is_listed(origin) || authority.is_some_and(is_own)
        })
    }

    /// Returns true if `allowed_origins` lists the origin. `*` counts only if keys exist, because
    /// without keys any open page could use the server.
    fn is_listed(&self, origin: &str) -> bool {
        let is_named = |name: &String| {
            name.eq_ignore_ascii_case(origin) || (name == ANY_ORIGIN && !self.keys.is_open())
        };
        self.config.allowed_origins.iter().any(is_named)
    }
}

/// Answers preflights, refuses what browsers would not check, and sets the CORS headers. Requests
/// without `Origin` pass.
pub(in crate::http) async fn layer(
    State(pages): State<Cors>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else {
        return with_vary_origin(next.run(request).await);
    };
    let is_question = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (pages.allows_origin(headers), is_question) {
        (true, true) => preflight_response(headers),
        (true, false) => next.run(request).await,
        (false, _) if is_question || pages.keys.is_open() || wants_socket(&request) => {
            return with_vary_origin(refusal().into_response());
        }
        (false, _) => return with_vary_origin(next.run(request).await),
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*"),
    );
    with_vary_origin(response)
}

/// Adds `Vary: Origin`, so that caches keep responses of different origins apart.
fn with_vary_origin(mut response: Response) -> Response {
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    response
}

/// Answers a preflight, allowing all requested headers.
fn preflight_response(headers: &HeaderMap) -> Response {
    const WANTED: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answers = response.headers_mut();
    answers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    answers.insert(header::VARY, HeaderValue::from_name(WANTED));
    if let Some(wanted) = headers.get(WANTED) {
        answers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

fn refusal() -> ApiError {
    ApiError::new(
        ErrorKind::ForbiddenOrigin,
        "This server answers no page of this origin. Its operator can name the origin in `server.allowed_origins`.",
    )
}
