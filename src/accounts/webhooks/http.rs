//! Transport of webhook requests over HTTP.

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use hyper::rt::Executor;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio_util::task::TaskTracker;

use super::sender::SendError;
use super::sender::SignedRequest;
use super::sender::WebhookSender;

const USER_AGENT: &str = concat!("claude-switchboard/", env!("CARGO_PKG_VERSION"));

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends webhook requests over HTTP, with one connection for each. Connects directly: private
/// addresses are allowed; proxies and redirects are not used.
pub struct HttpSender(LazyLock<HttpsClient, Box<dyn FnOnce() -> HttpsClient + Send>>);

/// Executor that spawns connection tasks on the task tracker of the server.
#[derive(Clone)]
struct TrackerExecutor(TaskTracker);

impl HttpSender {
    /// Creates a transport whose connection tasks run on `tracker`. The root certificates are
    /// loaded with the first request: those of the system, or Mozilla's if it has none.
    pub fn new(tracker: TaskTracker) -> Self {
        Self(LazyLock::new(Box::new(|| {
            let builder = HttpsConnectorBuilder::new();
            let builder = match builder.with_native_roots() {
                Ok(builder) => builder,
                Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
            };
            let connector = builder.https_or_http().enable_http1().build();
            Client::builder(TrackerExecutor(tracker))
                .pool_max_idle_per_host(0)
                .build(connector)
        })))
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HttpSender")
    }
}

impl WebhookSender for HttpSender {
    fn send(&self, signed: SignedRequest) -> BoxFuture<'_, Result<u16, SendError>> {
        let request = Request::post(signed.url.uri())
            .header("content-type", "application/json")
            .header("user-agent", USER_AGENT)
            .header("webhook-id", signed.id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signed.signature)
            .body(Full::from(signed.body));
        async move {
            let request = request.map_err(|error| SendError::Unreachable(error.to_string()))?;
            let answer = self.0.request(request).await;
            // The response body is never read; it is dropped with the response.
            answer
                .map(|answer| answer.status().as_u16())
                .map_err(|error| unreachable(&error))
        }
        .boxed()
    }
}

/// Converts an error by its innermost cause: the outer ones only say `client error`.
fn unreachable(error: &hyper_util::client::legacy::Error) -> SendError {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    SendError::Unreachable(cause.to_string())
}

impl<F> Executor<F> for TrackerExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
