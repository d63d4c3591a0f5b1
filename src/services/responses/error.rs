//! How a request about responses fails.

use crate::api::request_schema::InvalidRequest;
use crate::engine::gateway;
use crate::services::conversations;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no response of this name.
    #[error("no response is called {0}")]
    NotFound(String),
    /// The conversation that the response belongs to cannot be used.
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
    /// Whether its words may repeat what the request says, so that they are not for the log.
    pub(super) fn may_quote_the_request(&self) -> bool {
        match self {
            Self::Invalid(_) => true,
            Self::Turn(error) => error.may_quote_the_request(),
            Self::NotFound(_) | Self::Conversation(_) | Self::Store(_) => false,
        }
    }
}
