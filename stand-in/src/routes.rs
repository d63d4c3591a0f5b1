//! The HTTP face: the Messages API, and the record's own paths under `/_stand_in`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::time;

use crate::{
    conversation::Conversation,
    directives::{Directives, Fault},
    envelope::ApiError,
    limits,
    record::{Log, Recorded, Running, Stats},
    reply::Reply,
    rules, server_tools, stream,
};

/// The real API's own limit on a request.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Directive texts whose calls are counted for `times`; beyond it the counts start anew.
const MAX_COUNTED: usize = 10_000;

/// What all requests share.
pub(crate) struct Desk {
    pub log: Arc<Log>,
    is_lenient: bool,
    calls: Mutex<HashMap<String, u64>>,
    /// The faults and delays which all messages meet, whatever their prompts ask for.
    imposed: Mutex<Option<Directives>>,
}

impl Desk {
    pub fn new(log: Arc<Log>, is_lenient: bool) -> Self {
        Self {
            log,
            is_lenient,
            calls: Mutex::default(),
            imposed: Mutex::default(),
        }
    }

    /// Has all messages from now on meet these faults and delays, or none.
    pub fn impose(&self, directives: Option<Directives>) {
        *self.imposed.lock().unwrap_or_else(PoisonError::into_inner) = directives;
    }

    /// Empties the record, and counts `times` from zero again.
    pub fn clear(&self) {
        self.log.clear();
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Counts this call and says whether it is among the first `times` with these directives.
    fn meets_fault(&self, directives: &Directives) -> bool {
        let Some(times) = directives.times else {
            return true;
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= MAX_COUNTED {
            calls.clear();
        }
        let count = calls.entry(directives.written.clone()).or_default();
        *count += 1;
        *count <= times
    }
}

pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route(
            "/_stand_in/requests",
            get(list_requests).delete(clear_requests),
        )
        .route("/_stand_in/stats", get(stats))
        .fallback(answer)
        .with_state(desk)
}

async fn list_requests(State(desk): State<Arc<Desk>>) -> Json<Vec<Recorded>> {
    Json(desk.log.requests())
}

async fn clear_requests(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.clear();
    StatusCode::NO_CONTENT
}

async fn stats(State(desk): State<Arc<Desk>>) -> Json<Stats> {
    Json(desk.log.stats())
}

/// Records the request and answers it.
async fn answer(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = to_bytes(body, MAX_BODY_BYTES).await;
    let bytes = read.as_ref().map_or(0, Bytes::len);
    let body = Arc::new(read.as_ref().map_or(Value::Null, parsed));
    let running = desk.log.open(&parts, Arc::clone(&body), bytes);
    let sequence = running.sequence();
    let mut response = if read.is_err() {
        settled(
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request exceeds the maximum size",
            ),
            running,
        )
    } else {
        route(&desk, &parts, &body, running).await
    };
    if let Ok(id) = HeaderValue::from_str(&format!("req_standin{sequence:08}")) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

fn parsed(bytes: &Bytes) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

async fn route(desk: &Desk, parts: &Parts, body: &Value, running: Running) -> Response {
    let is_post = parts.method == Method::POST;
    match parts.uri.path() {
        "/" if matches!(parts.method, Method::GET | Method::HEAD) => {
            settled(StatusCode::OK, running)
        }
        "/v1/messages" | "/v1/messages/count_tokens" if !is_post => settled(
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            running,
        ),
        "/v1/messages" | "/v1/messages/count_tokens" if !has_credential(&parts.headers) => settled(
            ApiError::new(StatusCode::UNAUTHORIZED, "x-api-key header is required"),
            running,
        ),
        "/v1/messages" => match create_message(desk, &parts.headers, body, running).await {
            Ok(response) => response,
            Err((error, running)) => settled(error, running),
        },
        "/v1/messages/count_tokens" => settled(count_tokens(body), running),
        path => settled(
            ApiError::new(StatusCode::NOT_FOUND, format!("Not found: {path}")),
            running,
        ),
    }
}

/// An error returns the guard as well, for it is settled with the answer.
async fn create_message(
    desk: &Desk,
    headers: &HeaderMap,
    body: &Value,
    running: Running,
) -> Result<Response, (ApiError, Running)> {
    let (conversation, directives, source) = match read_request(desk, headers, body) {
        Ok(read) => read,
        Err(message) => return Err((ApiError::bad_request(message), running)),
    };
    let mut directives = directives;
    if let Some(imposed) = desk
        .imposed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
    {
        directives.suffer(imposed);
    }
    time::sleep(directives.headers_delay).await;
    if directives.fault.is_some() && !desk.meets_fault(&directives) {
        directives.fault = None;
    }
    let mut response = if let Some(Fault::Status(status)) = directives.fault {
        let message = directives.message.clone();
        settled(
            ApiError::scripted(status, message, directives.retry_after_seconds),
            running,
        )
    } else {
        let reply = Reply::compose(&conversation, &directives, source, running.sequence());
        if body["stream"] == true {
            stream::events(reply, running)
        } else {
            stream::whole(reply, running).await
        }
    };
    limits::mark(response.headers_mut(), &directives);
    Ok(response)
}

fn read_request<'a>(
    desk: &Desk,
    headers: &HeaderMap,
    body: &'a Value,
) -> Result<(Conversation<'a>, Directives, &'a str), String> {
    if !body.is_object() {
        return Err("The request body is not valid JSON".to_owned());
    }
    let conversation = Conversation::new(body, true)?;
    let (directives, source) = conversation.directives()?.unwrap_or_default();
    if !desk.is_lenient && !directives.is_lenient {
        rules::check(headers, &conversation)?;
    }
    server_tools::check(&conversation, &directives)?;
    Ok((conversation, directives, source))
}

fn count_tokens(body: &Value) -> Result<Json<Value>, ApiError> {
    let conversation = Conversation::new(body, false).map_err(ApiError::bad_request)?;
    Ok(Json(
        json!({"input_tokens": conversation.estimated_tokens()}),
    ))
}

fn has_credential(headers: &HeaderMap) -> bool {
    let is_given = |value: &HeaderValue| !value.is_empty();
    headers.get("x-api-key").is_some_and(is_given)
        || headers.get(header::AUTHORIZATION).is_some_and(is_given)
}

/// A response which ends with what is given here.
fn settled(answer: impl IntoResponse, mut running: Running) -> Response {
    running.finish();
    answer.into_response()
}
