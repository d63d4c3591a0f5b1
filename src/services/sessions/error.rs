//! Errors of session requests.

use crate::api::request_schema::InvalidRequest;
use crate::engine::gateway;
use crate::storage::store;

/// Reasons why a session request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no session with this id.
    #[error("no session is called {0}")]
    NotFound(String),
    /// Another message to the session is being answered.
    #[error("the session {0} is busy")]
    Busy(String),
    /// The caller has reached the maximum number of sessions.
    #[error("there are {0} sessions")]
    TooMany(usize),
    /// The session has reached its maximum size.
    #[error("the session {0} is full")]
    Full(String),
    /// The turn failed.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// The session was deleted while its answer was generated.
    #[error("the session {0} was deleted while it was answered")]
    Gone(String),
    /// The answer could not be stored, so the session is unchanged.
    #[error("the answer could not be stored")]
    NotStored(#[source] store::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
