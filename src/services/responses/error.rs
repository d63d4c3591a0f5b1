//! Errors of response requests.

use crate::api::request_schema::InvalidRequest;
use crate::engine::gateway;
use crate::services::conversations;
use crate::storage::store;

/// Reasons why a response request fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no response with this id.
    #[error("no response is called {0}")]
    NotFound(String),
    /// The conversation of the response cannot be used.
    #[error(transparent)]
    Conversation(#[from] conversations::Error),
    /// The turn failed.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns true if the message may quote the request, so that it must not be logged.
    pub(super) fn may_quote_the_request(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Turn(error) => error.may_quote_the_request(),
            Self::NotFound(_) | Self::Conversation(_) | Self::Store(_) => false,
        }
    }
}
