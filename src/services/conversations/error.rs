//! How a request about conversations fails.

use crate::api::request_schema::InvalidRequest;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no conversation of this name.
    #[error("no conversation is called {0}")]
    NotFound(String),
    /// The conversation has no item of this name.
    #[error("no item is called {0}")]
    NoItem(String),
    /// A response is being added to the conversation, or something else changes its items.
    #[error("the conversation {0} is locked")]
    Locked(String),
    /// The conversation has as many bytes as may be.
    #[error("the conversation {0} is full")]
    Full(String),
    /// The conversation was taken away while something was to be added to it.
    #[error("the conversation {0} was deleted meanwhile")]
    Gone(String),
    /// What was to be added could not be written, so the conversation is as it was.
    #[error("the conversation could not be written")]
    NotKept(#[source] store::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
