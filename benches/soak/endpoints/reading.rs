//! Parsing of responses: bodies, streams and known errors.

use eventsource_stream::Eventsource as _;
use futures::StreamExt as _;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::journal::RequestFailure;

/// Error codes with which a working server may refuse a valid request; not `internal_error`.
const KNOWN_CODES: [&str; 13] = [
    "answer_not_kept",
    "insufficient_quota",
    "ledger_unavailable",
    "no_worker",
    "overloaded",
    "rate_limit_exceeded",
    "server_busy",
    "shutting_down",
    "storage_unavailable",
    "timeout",
    "too_many_sockets",
    "upstream_error",
    "worker_failed",
];
/// Corresponding error types of Anthropic's API.
const KNOWN_TYPES: [&str; 4] = [
    "api_error",
    "overloaded_error",
    "rate_limit_error",
    "timeout_error",
];

/// Sends a request and parses its body as JSON.
pub(super) async fn json(request: RequestBuilder) -> Result<Value, RequestFailure> {
    let response = send(request).await?;
    let text = response.text().await.map_err(|error| cut(&error))?;
    serde_json::from_str(&text).map_err(|_| RequestFailure::Wrong(format!("no JSON: {text:.200}")))
}

/// Sends a request and returns a successful response.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, RequestFailure> {
    let response = request.send().await.map_err(|error| cut(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.map_err(|error| cut(&error))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Err(match refusal(&body) {
        // Anthropic's error types do not distinguish server from upstream errors, so check the
        // status.
        RequestFailure::Refused(code) if status == 500 && code != "answer_not_kept" => {
            RequestFailure::Wrong(format!("{status} {}", short(&body)))
        }
        RequestFailure::Wrong(what) => RequestFailure::Wrong(format!("{status} {what}")),
        known => known,
    })
}

/// Classifies an error response: refused if its code is known and it has a message, else wrong.
pub(super) fn refusal(body: &Value) -> RequestFailure {
    let error = &body["error"];
    let known = |name: &str, all: &[&str]| {
        error[name].as_str().filter(|code| {
            all.contains(code) && error["message"].as_str().is_some_and(|m| !m.is_empty())
        })
    };
    match known("code", &KNOWN_CODES).or_else(|| known("type", &KNOWN_TYPES)) {
        Some(code) => RequestFailure::Refused(code.to_owned()),
        None => RequestFailure::Wrong(short(body)),
    }
}

/// Reads a stream of events to its end and passes each to `read`, which returns true for the last
/// one.
///
/// A stream that ends before that event, and without an error event, is an error.
pub(super) async fn stream(
    request: RequestBuilder,
    mut read: impl FnMut(&Value) -> Result<bool, RequestFailure>,
) -> Result<(), RequestFailure> {
    let response = send(request).await?;
    let mut events = Box::pin(response.bytes_stream().eventsource());
    let mut is_whole = false;
    while let Some(event) = events.next().await {
        let data = event
            .map_err(|error| RequestFailure::Cut(error.to_string()))?
            .data;
        if data == "[DONE]" {
            continue;
        }
        let event: Value = serde_json::from_str(&data)
            .map_err(|_| RequestFailure::Wrong(format!("an event that is no JSON: {data:.200}")))?;
        if event["error"].is_object() {
            return Err(refusal(&event));
        }
        is_whole |= read(&event)?;
    }
    if is_whole {
        Ok(())
    } else {
        Err(RequestFailure::Cut(
            "the stream ended before the answer did".to_owned(),
        ))
    }
}

pub(super) fn cut(error: &reqwest::Error) -> RequestFailure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    RequestFailure::Cut(text)
}

/// Returns the first characters of a body.
pub(super) fn short(body: &Value) -> String {
    body.to_string().chars().take(300).collect()
}
