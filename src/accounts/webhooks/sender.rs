//! Interface of the HTTP client that sends one webhook request, without retries.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::timeout;

use super::endpoint::WebhookEndpoint;
use super::endpoint::WebhookUrl;
use super::event::WebhookEvent;
use crate::domain::unix_now;

/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Transport of signed webhook requests. Retries are the business of the caller.
pub trait WebhookSender: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and returns the status of the response; redirects are not followed. Dropping
    /// the future cancels the request.
    ///
    /// # Errors
    /// Fails when no response arrives.
    fn send(&self, request: SignedRequest) -> BoxFuture<'_, Result<u16, SendError>>;
}

/// Signed request that carries one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// URL of the receiver.
    pub url: WebhookUrl,
    /// Value of the header `webhook-id`: the id of the event.
    pub id: String,
    /// Value of the header `webhook-timestamp`: time of this attempt, in seconds of Unix time.
    pub timestamp: u64,
    /// Value of the header `webhook-signature`.
    pub signature: String,
    /// Body of the request: JSON.
    pub body: String,
}

/// Reason why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The attempt has timed out.
    #[error("no answer within 10 seconds")]
    Timeout,
    /// The receiver cannot be reached, or closed the connection.
    #[error("{0}")]
    Unreachable(String),
}

/// Sends `event` to `endpoint` once, and returns the status of the response.
///
/// # Errors
/// Fails when no response arrives before the timeout.
pub async fn send_once(
    sender: &dyn WebhookSender,
    endpoint: &WebhookEndpoint,
    event: &WebhookEvent,
) -> Result<u16, SendError> {
    let timestamp = unix_now();
    let request = SignedRequest {
        url: endpoint.url.clone(),
        id: event.id.clone(),
        timestamp,
        signature: endpoint.secret.sign(&event.id, timestamp, &event.body),
        body: event.body.clone(),
    };
    timeout(ATTEMPT_TIMEOUT, sender.send(request))
        .await
        .unwrap_or(Err(SendError::Timeout))
}
