//! HTTP routes: the Messages API, and the record under `/_stand_in`.

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
    prompt_cache::{PromptCache, PromptTokens},
    record::{RecordedRequest, RequestLog, RunningAnswer, Stats},
    reply::Reply,
    rules, server_tools, stream,
};

/// Maximum size of a request body, as in the real API.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Maximum number of directive texts counted for `times`; when it is reached, all counts restart.
const MAX_COUNTED_DIRECTIVES: usize = 10_000;

/// State shared by all requests.
pub(crate) struct SharedState {
    pub log: Arc<RequestLog>,
    is_lenient: bool,
    /// Prompt cache, if the stand-in keeps one.
    prompt_cache: Option<PromptCache>,
    calls: Mutex<HashMap<String, u64>>,
    /// Faults and delays applied to all messages, whatever their prompts contain.
    injected: Mutex<Option<Directives>>,
}

impl SharedState {
    pub fn new(log: Arc<RequestLog>, is_lenient: bool, has_prompt_cache: bool) -> Self {
        Self {
            log,
            is_lenient,
            prompt_cache: has_prompt_cache.then(PromptCache::default),
            calls: Mutex::default(),
            injected: Mutex::default(),
        }
    }

    /// Applies faults and delays to all messages from now on, or ends that.
    pub fn inject(&self, directives: Option<Directives>) {
        *self.injected.lock().unwrap_or_else(PoisonError::into_inner) = directives;
    }

    /// Clears the record, the counts for `times` and the prompt cache.
    pub fn clear(&self) {
        self.log.clear();
        self.prompt_cache.iter().for_each(PromptCache::clear);
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Counts the tokens of a prompt. Directives that count some of them bypass the prompt cache.
    fn prompt_tokens(
        &self,
        conversation: &Conversation<'_>,
        directives: &Directives,
    ) -> PromptTokens {
        match &self.prompt_cache {
            Some(cache) if !directives.usage.has_prompt() => {
                cache.count(conversation, directives.is_cold)
            }
            _ => PromptTokens {
                input: conversation.estimated_tokens(),
                ..PromptTokens::default()
            },
        }
    }

    /// Counts this call and returns true if it is among the first `times` with these directives.
    fn takes_fault(&self, directives: &Directives) -> bool {
        let Some(times) = directives.times else {
            return true;
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= MAX_COUNTED_DIRECTIVES {
            calls.clear();
        }
        let count = calls.entry(directives.written.clone()).or_default();
        *count += 1;
        *count <= times
    }
}

pub(crate) fn router(state: Arc<SharedState>) -> Router {
    Router::new()
        .route(
            "/_stand_in/requests",
            get(list_requests).delete(clear_requests),
        )
        .route("/_stand_in/stats", get(stats))
        .fallback(answer)
        .with_state(state)
}

async fn list_requests(State(state): State<Arc<SharedState>>) -> Json<Vec<RecordedRequest>> {
    Json(state.log.requests())
}

async fn clear_requests(State(state): State<Arc<SharedState>>) -> StatusCode {
    state.clear();
    StatusCode::NO_CONTENT
}

async fn stats(State(state): State<Arc<SharedState>>) -> Json<Stats> {
    Json(state.log.stats())
}

/// Records the request and answers it.
async fn answer(State(state): State<Arc<SharedState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = to_bytes(body, MAX_BODY_BYTES).await;
    let bytes = read.as_ref().map_or(0, Bytes::len);
    let body = Arc::new(read.as_ref().map_or(Value::Null, parse_body));
    let running = state.log.open(&parts, Arc::clone(&body), bytes);
    let sequence = running.sequence();
    let mut response = if read.is_err() {
        finish_with(
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request exceeds the maximum size",
            ),
            running,
        )
    } else {
        route(&state, &parts, &body, running).await
    };
    if let Ok(id) = HeaderValue::from_str(&format!("req_standin{sequence:08}")) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

fn parse_body(bytes: &Bytes) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

async fn route(
    state: &SharedState,
    parts: &Parts,
    body: &Value,
    running: RunningAnswer,
) -> Response {
    let is_post = parts.method == Method::POST;
    match parts.uri.path() {
        "/" if matches!(parts.method, Method::GET | Method::HEAD) => {
            finish_with(StatusCode::OK, running)
        }
        "/v1/messages" | "/v1/messages/count_tokens" if !is_post => finish_with(
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            running,
        ),
        "/v1/messages" | "/v1/messages/count_tokens" if !has_credential(&parts.headers) => {
            finish_with(
                ApiError::new(StatusCode::UNAUTHORIZED, "x-api-key header is required"),
                running,
            )
        }
        "/v1/messages" => match create_message(state, &parts.headers, body, running).await {
            Ok(response) => response,
            Err((error, running)) => finish_with(error, running),
        },
        "/v1/messages/count_tokens" => finish_with(count_tokens(body), running),
        path => finish_with(
            ApiError::new(StatusCode::NOT_FOUND, format!("Not found: {path}")),
            running,
        ),
    }
}

/// Answers a message request; an error returns the guard, which is finished with the response.
async fn create_message(
    state: &SharedState,
    headers: &HeaderMap,
    body: &Value,
    running: RunningAnswer,
) -> Result<Response, (ApiError, RunningAnswer)> {
    let (conversation, directives, source) = match read_request(state, headers, body) {
        Ok(read) => read,
        Err(message) => return Err((ApiError::bad_request(message), running)),
    };
    let mut directives = directives;
    if let Some(injected) = state
        .injected
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
    {
        directives.inject(injected);
    }
    time::sleep(directives.headers_delay).await;
    if directives.fault.is_some() && !state.takes_fault(&directives) {
        directives.fault = None;
    }
    let mut response = if let Some(Fault::Status(status)) = directives.fault {
        let message = directives.message.clone();
        finish_with(
            ApiError::scripted(status, message, directives.retry_after_seconds),
            running,
        )
    } else {
        let prompt = state.prompt_tokens(&conversation, &directives);
        let sequence = running.sequence();
        let reply = Reply::compose(&conversation, &directives, source, prompt, sequence);
        if body["stream"] == true {
            stream::events(reply, running)
        } else {
            stream::whole(reply, running).await
        }
    };
    limits::add_rate_limit_headers(response.headers_mut(), &directives);
    Ok(response)
}

fn read_request<'a>(
    state: &SharedState,
    headers: &HeaderMap,
    body: &'a Value,
) -> Result<(Conversation<'a>, Directives, &'a str), String> {
    if !body.is_object() {
        return Err("The request body is not valid JSON".to_owned());
    }
    let conversation = Conversation::new(body, true)?;
    let (directives, source) = conversation.directives()?.unwrap_or_default();
    if !state.is_lenient && !directives.is_lenient {
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

/// Marks the answer as finished and returns its response.
fn finish_with(answer: impl IntoResponse, mut running: RunningAnswer) -> Response {
    running.finish();
    answer.into_response()
}
