//! Hooks of the kind `http`: a POST over HTTP/1.1 to a URL or a Unix socket.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use tokio_util::task::TaskTracker;

use super::called::Hook;
use super::config_check::UNIX_PREFIX;
use super::error::HookFailure;
use super::hook_mark::HOOK_MARK_HEADER;
use super::hook_mark::hook_mark_value;
use super::reply::ANSWER_TOO_LARGE;
use super::reply::HookReply;
use super::wire::HookInput;
use super::wire::HookOperation;
use super::wire::MAX_BODY_BYTES;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::HttpClientError;
use crate::runtime::unix_client::UnixHttpClient;

/// Address in requests over a Unix socket, which need some host.
const SOCKET_ADDRESS: &str = "http://localhost/";

/// Service that is called over HTTP. Keeps its connections open.
#[derive(Debug)]
pub(super) struct HttpHook {
    client: HookClient,
    address: String,
    /// Set if the call before was answered, so that its connection may have been kept.
    was_answered: AtomicBool,
}

#[derive(Debug)]
enum HookClient {
    Tcp(HttpClient),
    Unix(UnixHttpClient),
}

impl HttpHook {
    /// Creates the hook of a `url` that the configuration has checked. It keeps at most
    /// `max_idle_connections`.
    pub(super) fn new(url: &str, tracker: TaskTracker, max_idle_connections: usize) -> Self {
        let path = url.strip_prefix(UNIX_PREFIX);
        let client = match path {
            Some(path) => HookClient::Unix(UnixHttpClient::new(
                path.into(),
                tracker,
                max_idle_connections,
            )),
            None => HookClient::Tcp(HttpClient::new(tracker, max_idle_connections)),
        };
        Self {
            client,
            address: path.map_or(url, |_| SOCKET_ADDRESS).to_owned(),
            was_answered: AtomicBool::new(false),
        }
    }

    async fn post(&self, input: &HookInput) -> Result<HookReply, HookFailure> {
        let json = Bytes::from(input.to_json()?);
        let may_be_stale = self.was_answered.load(Ordering::Relaxed);
        let mut sent = self.send(json.clone()).await;
        if sent.is_err() && may_be_stale {
            // The service may have closed a kept connection while the request was on its way. The
            // client forgets such a connection, so the second attempt opens another one.
            sent = self.send(json).await;
        }
        self.was_answered.store(sent.is_ok(), Ordering::Relaxed);
        let response = sent?;
        let is_notice = input.op == HookOperation::Notify;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT if is_notice => return Ok(HookReply::pass()),
            status => return Err(HookFailure::Status(status.as_u16())),
        }
        let body = read_answer(response.into_body()).await?;
        HookReply::read(&body, input.point, input.op)
    }

    async fn send(&self, json: Bytes) -> Result<Response<Incoming>, HookFailure> {
        let request = Request::post(&self.address)
            .header(CONTENT_TYPE, "application/json")
            .header(HOOK_MARK_HEADER, hook_mark_value())
            .body(Full::new(json));
        let request = request.map_err(|error| HookFailure::Unreachable(error.to_string()))?;
        let sent = match &self.client {
            HookClient::Tcp(client) => client.send(request).await,
            HookClient::Unix(client) => client.send(request).await,
        };
        sent.map_err(|error| HookFailure::Unreachable(error.to_string()))
    }
}

/// Reads the body of an answer, and no more of it than an answer may have.
async fn read_answer(body: Incoming) -> Result<Bytes, HookFailure> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ANSWER_TOO_LARGE),
        Err(error) => {
            let error = HttpClientError::from_innermost_cause(&*error);
            Err(HookFailure::Unreachable(error.to_string()))
        }
    }
}

impl Hook for HttpHook {
    fn call<'a>(&'a self, input: &'a HookInput) -> BoxFuture<'a, Result<HookReply, HookFailure>> {
        self.post(input).boxed()
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
