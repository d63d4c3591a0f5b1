//! One other server, and its calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use hyper::header::ACCEPT_ENCODING;
use hyper::header::AUTHORIZATION;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderValue;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use super::answer_body::AnswerBody;
use super::answer_body::AnswerBounds;
use super::answer_memory::HeldAnswerMemory;
use super::config::UpstreamConfig;
use super::endpoint::AnswerForm;
use super::failure;
use super::failure::FailedCall;
use super::request::UpstreamRequest;
use crate::domain::FailureKind;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::read_body;

/// Maximum size of an error body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Media type of event streams.
const EVENT_STREAM: &str = "text/event-stream";

/// Another server, with its key. Its debug output has no key.
pub struct Upstream {
    name: Arc<str>,
    config: UpstreamConfig,
    key: Option<UpstreamKey>,
    client: HttpClient,
    /// Memory that all upstreams share.
    memory: HeldAnswerMemory,
}

/// Key as it is sent, and as it is kept out of messages.
struct UpstreamKey {
    header: HeaderValue,
    text: String,
}

/// Answer whose head has come.
#[derive(Debug)]
pub struct UpstreamAnswer {
    /// Content type, if it is one that can be passed on.
    pub content_type: Option<String>,
    /// Body of the answer.
    pub body: AnswerBody,
}

impl Upstream {
    /// Creates the upstream `name` that is called with `key` through `client`, and whose whole answers
    /// take `memory`. Returns `None` if the key cannot be sent in a header.
    pub(super) fn new(
        name: &str,
        config: UpstreamConfig,
        key: Option<&str>,
        (client, memory): (HttpClient, HeldAnswerMemory),
    ) -> Option<Self> {
        let key = match key {
            None => None,
            Some(text) => {
                let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
                header.set_sensitive(true);
                let text = text.to_owned();
                Some(UpstreamKey { header, text })
            }
        };
        Some(Self {
            name: name.into(),
            config,
            key,
            client,
            memory,
        })
    }

    /// Returns the name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends `request`, and returns the answer once its head is here. Cancellation closes the
    /// connection. Sent are the body, its type, the key, and what this server accepts: nothing
    /// else of the client.
    ///
    /// # Errors
    /// Fails when the upstream cannot be reached, is too slow, or does not answer with success.
    pub async fn call(&self, request: &UpstreamRequest) -> Result<UpstreamAnswer, FailedCall> {
        let bounds = AnswerBounds {
            name: Arc::clone(&self.name),
            deadline: Instant::now() + self.config.timeout,
            timeout: self.config.timeout,
            silence: self.config.silence,
            max_bytes: self.config.max_answer_bytes,
            memory: self.memory.clone(),
        };
        let accepted = match request.form {
            AnswerForm::Json => "application/json",
            AnswerForm::Events => EVENT_STREAM,
            AnswerForm::Text | AnswerForm::Bytes => "*/*",
        };
        let url = format!("{}{}", self.config.base_url, request.endpoint.path());
        let mut call = Request::post(url)
            .header(CONTENT_TYPE, &request.content_type)
            .header(ACCEPT, accepted)
            .header(ACCEPT_ENCODING, "identity");
        if let Some(key) = &self.key {
            call = call.header(AUTHORIZATION, key.header.clone());
        }
        let call = call
            .body(Full::new(request.body.clone()))
            .map_err(|_| FailedCall::free(failure::unreachable(&self.name)))?;
        let Ok(sent) = timeout_at(bounds.deadline, self.client.send(call)).await else {
            let failure = failure::timed_out(&self.name, bounds.timeout);
            return Err(FailedCall::paid(failure));
        };
        let answer = sent.map_err(|error| {
            tracing::warn!(upstream = &*self.name, %error, "upstream not reached");
            if error.is_unconnected() {
                return FailedCall::free(failure::unreachable(&self.name));
            }
            // The upstream had the request, or a part of it.
            let what = "closed the connection before it answered";
            FailedCall::paid(failure::broken_answer(&self.name, what))
        })?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            let read = timeout_at(bounds.deadline, read_body(body, MAX_ERROR_BYTES)).await;
            let body = read.ok().and_then(Result::ok).unwrap_or_default();
            let secret = self.key.as_ref().map(|key| key.text.as_str());
            let status = head.status;
            tracing::warn!(
                upstream = &*self.name,
                status = status.as_u16(),
                "upstream refused call"
            );
            let failure = failure::refused_call(&self.name, status, &head.headers, &body, secret);
            let may_cost = status.is_success() || failure.kind == FailureKind::TimedOut;
            return Err(FailedCall { failure, may_cost });
        }
        let content_type = head.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let is_stream = content_type.is_some_and(|value| value.starts_with(EVENT_STREAM));
        if (request.form == AnswerForm::Events) != is_stream {
            let what = if is_stream {
                "answered with an event stream that was not asked for"
            } else {
                "answered with no event stream"
            };
            return Err(FailedCall::paid(failure::broken_answer(&self.name, what)));
        }
        Ok(UpstreamAnswer {
            content_type: content_type.map(str::to_owned),
            body: AnswerBody::new(body, bounds).map_err(FailedCall::paid)?,
        })
    }

    /// Asks for the list of models within `limit`, and returns the status of the answer.
    ///
    /// # Errors
    /// Fails when the upstream cannot be reached; the text says why.
    pub async fn probe(&self, limit: Duration) -> Result<u16, String> {
        let mut call = Request::get(format!("{}/models", self.config.base_url));
        if let Some(key) = &self.key {
            call = call.header(AUTHORIZATION, key.header.clone());
        }
        let call = call.body(Full::default());
        let call = call.map_err(|error| error.to_string())?;
        match timeout(limit, self.client.send(call)).await {
            Ok(Ok(answer)) => Ok(answer.status().as_u16()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} seconds", limit.as_secs())),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("name", &self.name)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
