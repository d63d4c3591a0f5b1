//! Reading what the server answers: bodies, streams, and errors that it has words for.

use eventsource_stream::Eventsource as _;
use futures::StreamExt as _;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::journal::Trouble;

/// The codes with which a server that works may refuse a request that is right. `internal_error` is none of them.
const CODES: [&str; 13] = [
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
/// The same in the words of Anthropic's API.
const TYPES: [&str; 4] = [
    "api_error",
    "overloaded_error",
    "rate_limit_error",
    "timeout_error",
];

/// Sends a request and reads a body that must be JSON.
pub(super) async fn json(request: RequestBuilder) -> Result<Value, Trouble> {
    let response = send(request).await?;
    let text = response.text().await.map_err(|error| cut(&error))?;
    serde_json::from_str(&text).map_err(|_| Trouble::Wrong(format!("no JSON: {text:.200}")))
}

/// Sends a request and gives the response if it is a success.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, Trouble> {
    let response = request.send().await.map_err(|error| cut(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.map_err(|error| cut(&error))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Err(match refusal(&body) {
        // Anthropic's types do not tell a fault of the server from one of upstream; the status does.
        Trouble::Refused(code) if status == 500 && code != "answer_not_kept" => {
            Trouble::Wrong(format!("{status} {}", short(&body)))
        }
        Trouble::Wrong(what) => Trouble::Wrong(format!("{status} {what}")),
        known => known,
    })
}

/// An error of the API, if its code is one of those that may be, and it says something.
pub(super) fn refusal(body: &Value) -> Trouble {
    let error = &body["error"];
    let known = |name: &str, all: &[&str]| {
        error[name].as_str().filter(|code| {
            all.contains(code) && error["message"].as_str().is_some_and(|m| !m.is_empty())
        })
    };
    match known("code", &CODES).or_else(|| known("type", &TYPES)) {
        Some(code) => Trouble::Refused(code.to_owned()),
        None => Trouble::Wrong(short(body)),
    }
}

/// Reads a stream of events to its end, and gives each to `read`, which says whether the answer is whole with it. A stream
/// that ends before is torn, unless its last event is an error.
pub(super) async fn stream(
    request: RequestBuilder,
    mut read: impl FnMut(&Value) -> Result<bool, Trouble>,
) -> Result<(), Trouble> {
    let response = send(request).await?;
    let mut events = Box::pin(response.bytes_stream().eventsource());
    let mut is_whole = false;
    while let Some(event) = events.next().await {
        let data = event.map_err(|error| Trouble::Cut(error.to_string()))?.data;
        if data == "[DONE]" {
            continue;
        }
        let event: Value = serde_json::from_str(&data)
            .map_err(|_| Trouble::Wrong(format!("an event that is no JSON: {data:.200}")))?;
        if event["error"].is_object() {
            return Err(refusal(&event));
        }
        is_whole |= read(&event)?;
    }
    if is_whole {
        Ok(())
    } else {
        Err(Trouble::Cut(
            "the stream ended before the answer did".to_owned(),
        ))
    }
}

pub(super) fn cut(error: &reqwest::Error) -> Trouble {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    Trouble::Cut(said)
}

/// The beginning of a body.
pub(super) fn short(body: &Value) -> String {
    body.to_string().chars().take(300).collect()
}
