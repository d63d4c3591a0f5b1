//! Hooks of the kind `http`: a POST over HTTP/1.1 to a URL or a Unix socket.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use tokio_util::task::TaskTracker;

use super::called::Hook;
use super::config_check::UNIX_PREFIX;
use super::error::HookFailure;
use super::own_call::OWN_CALL_HEADER;
use super::own_call::own_call_mark;
use super::reply::HookReply;
use super::wire::HookInput;
use super::wire::HookOperation;
use super::wire::MAX_BODY_BYTES;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::HttpClientError;
use crate::runtime::http_client::read_body;
use crate::runtime::unix_client::UnixHttpClient;

/// Address in requests over a Unix socket, which need some host.
const SOCKET_ADDRESS: &str = "http://localhost/";

/// Service that is called over HTTP. Keeps its connections open.
#[derive(Debug)]
pub(super) struct HttpHook {
    client: HookClient,
    address: String,
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
        match url.strip_prefix(UNIX_PREFIX) {
            Some(path) => Self {
                client: HookClient::Unix(UnixHttpClient::new(
                    path.into(),
                    tracker,
                    max_idle_connections,
                )),
                address: SOCKET_ADDRESS.to_owned(),
            },
            None => Self {
                client: HookClient::Tcp(HttpClient::new(tracker, max_idle_connections)),
                address: url.to_owned(),
            },
        }
    }

    async fn post(&self, input: &HookInput) -> Result<HookReply, HookFailure> {
        let request = Request::post(&self.address)
            .header(CONTENT_TYPE, "application/json")
            .header(OWN_CALL_HEADER, own_call_mark())
            .body(Full::from(input.to_json()?));
        let request = request.map_err(|error| HookFailure::Unreachable(error.to_string()))?;
        let unreachable = |error: HttpClientError| HookFailure::Unreachable(error.to_string());
        let response = self.send(request).await.map_err(unreachable)?;
        let is_notice = input.op == HookOperation::Notify;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT if is_notice => return Ok(HookReply::pass()),
            status => return Err(HookFailure::Status(status.as_u16())),
        }
        // One byte more than allowed, so that a body that is too large is told from one that breaks
        // off.
        let body = read_body(response.into_body(), MAX_BODY_BYTES + 1).await;
        let body = body.map_err(unreachable)?;
        HookReply::read(&body, input.point, input.op)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HttpClientError> {
        match &self.client {
            HookClient::Tcp(client) => client.send(request).await,
            HookClient::Unix(client) => client.send(request).await,
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
