//! Which pages may call. A browser says of what origin a page is, and asks before it shows the page an answer (CORS). For a
//! WebSocket it does not ask, nor does it for some requests that do their work unread; so those are refused here.

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
use super::local_only::is_single;
use super::local_only::is_this_host;
use crate::accounts::auth::Keys;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::Kind;

/// Stands for every origin.
const ALL: &str = "*";
/// What the API has.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
/// Seconds for which a browser need not ask again: the longest that any of them accepts.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// Which pages may call.
#[derive(Debug, Clone)]
pub(in crate::http) struct Pages {
    keys: Arc<Keys>,
    config: Arc<Config>,
}

impl Pages {
    pub(in crate::http) fn new(keys: &Arc<Keys>, config: &Arc<Config>) -> Self {
        Self {
            keys: Arc::clone(keys),
            config: Arc::clone(config),
        }
    }

    /// Whether a request with these `headers` comes from a page that may make it.
    fn welcome(&self, headers: &HeaderMap) -> bool {
        is_single(headers, &header::ORIGIN, |origin| {
            let authority = origin
                .split_once("://")
                .and_then(|(_, rest)| rest.parse::<Authority>().ok());
            let is_local = authority
                .as_ref()
                .is_some_and(|authority| is_this_host(authority.host()));
            let is_own =
                |authority: Authority| is_single(headers, &header::HOST, |host| authority == host);
            is_local || self.names(origin) || authority.is_some_and(is_own)
        })
    }

    /// Whether the operator lets this one in. Without keys it takes a name: any page might be open beside it.
    fn names(&self, origin: &str) -> bool {
        let is_named = |name: &String| {
            name.eq_ignore_ascii_case(origin) || (name == ALL && !self.keys.is_open())
        };
        self.config.allowed_origins.iter().any(is_named)
    }
}

/// Answers the questions that browsers ask on behalf of pages, refuses what they would not ask about, and has them show answers
/// to the pages that may have them. What says of no origin passes.
pub(in crate::http) async fn layer(
    State(pages): State<Pages>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else {
        return varying(next.run(request).await);
    };
    let is_question = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (pages.welcome(headers), is_question) {
        (true, true) => answer(headers),
        (true, false) => next.run(request).await,
        (false, _) if is_question || pages.keys.is_open() || wants_socket(&request) => {
            return varying(refusal().into_response());
        }
        (false, _) => return varying(next.run(request).await),
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*"),
    );
    varying(response)
}

/// A response, marked as one that is another for another origin, so that no cache gives it to that.
fn varying(mut response: Response) -> Response {
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    response
}

/// What a browser is told before it makes a request: yes, with all the headers it asks about.
fn answer(headers: &HeaderMap) -> Response {
    const WANTED: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answers = response.headers_mut();
    answers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    answers.insert(header::VARY, HeaderValue::from_name(WANTED));
    if let Some(wanted) = headers.get(WANTED) {
        answers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

fn refusal() -> ApiError {
    ApiError::new(
        Kind::ForbiddenOrigin,
        "This server answers no page of this origin. Its operator can name the origin in `server.allowed_origins`.",
    )
}
