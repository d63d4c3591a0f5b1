//! One try to send an event.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::timeout;

use super::address::Address;
use super::address::Endpoint;
use super::event::Event;
use crate::domain::unix_now;

/// How long a receiver may take to answer.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends letters. What becomes of them is none of its business.
pub trait Sender: fmt::Debug + Send + Sync + 'static {
    /// Sends `letter`, and gives the status of the answer; redirects are not followed. Dropped, it stops.
    ///
    /// # Errors
    /// When nobody answers.
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<u16, SendError>>;
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub url: Address,
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`: when this try was made, in seconds of Unix time.
    pub timestamp: u64,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The body: JSON.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It took too long.
    #[error("no answer within 10 seconds")]
    Timeout,
    /// The receiver cannot be reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
}

/// Sends `event` to `endpoint` once, and gives the status of the answer.
///
/// # Errors
/// When nobody answers in time.
pub async fn try_once(
    sender: &dyn Sender,
    endpoint: &Endpoint,
    event: &Event,
) -> Result<u16, SendError> {
    let timestamp = unix_now();
    let letter = Letter {
        url: endpoint.url.clone(),
        id: event.id.clone(),
        timestamp,
        signature: endpoint.secret.sign(&event.id, timestamp, &event.body),
        body: event.body.clone(),
    };
    timeout(TRY_TIMEOUT, sender.send(letter))
        .await
        .unwrap_or(Err(SendError::Timeout))
}
