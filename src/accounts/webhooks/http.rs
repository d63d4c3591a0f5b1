//! Transport of webhook requests over HTTP.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use tokio_util::task::TaskTracker;

use super::sender::SendError;
use super::sender::SignedRequest;
use super::sender::WebhookSender;
use crate::runtime::http_client::HttpClient;

/// Sends webhook requests over HTTP, with one connection for each.
#[derive(Debug)]
pub struct HttpSender(HttpClient);

impl HttpSender {
    /// Creates a transport whose connection tasks run on `tracker`.
    pub fn new(tracker: TaskTracker) -> Self {
        Self(HttpClient::new(tracker, 0))
    }
}

impl WebhookSender for HttpSender {
    fn send(&self, signed: SignedRequest) -> BoxFuture<'_, Result<u16, SendError>> {
        let request = Request::post(signed.url.uri())
            .header("content-type", "application/json")
            .header("webhook-id", signed.id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signed.signature)
            .body(Full::from(signed.body));
        async move {
            let request = request.map_err(|error| SendError::Unreachable(error.to_string()))?;
            // The response body is never read; it is dropped with the response.
            match self.0.send(request).await {
                Ok(answer) => Ok(answer.status().as_u16()),
                Err(error) => Err(SendError::Unreachable(error.to_string())),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
