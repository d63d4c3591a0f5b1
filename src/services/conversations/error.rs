//! Errors of conversation requests.

use crate::api::request_schema::InvalidRequest;
use crate::storage::store;

/// Reasons why a conversation request fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no conversation with this id.
    #[error("no conversation is called {0}")]
    NotFound(String),
    /// The conversation has no item with this id.
    #[error("no item is called {0}")]
    NoItem(String),
    /// The conversation is locked by a response or by another change of its items.
    #[error("the conversation {0} is locked")]
    Locked(String),
    /// The conversation has reached its maximum size.
    #[error("the conversation {0} is full")]
    Full(String),
    /// The conversation was deleted while it was being changed.
    #[error("the conversation {0} was deleted meanwhile")]
    Gone(String),
    /// The items could not be written, so the conversation is unchanged.
    #[error("the conversation could not be written")]
    NotStored(#[source] store::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
