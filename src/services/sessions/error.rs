//! How a request about sessions fails.

use crate::api::request_schema::InvalidRequest;
use crate::engine::gateway;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no session of this name.
    #[error("no session is called {0}")]
    NotFound(String),
    /// Another message to the session is being answered.
    #[error("the session {0} is busy")]
    Busy(String),
    /// The caller has as many sessions as may be.
    #[error("there are {0} sessions")]
    TooMany(usize),
    /// The conversation has as many bytes as may be.
    #[error("the session {0} is full")]
    Full(String),
    /// The turn failed before its answer began.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// The session was taken away while its answer was made.
    #[error("the session {0} was deleted while it was answered")]
    Gone(String),
    /// The answer was made and could not be kept, so the session is as it was.
    #[error("the answer could not be kept")]
    NotKept(#[source] store::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
