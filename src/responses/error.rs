//! How a request about responses fails.

use crate::fields::InvalidRequest;
use crate::gateway;
use crate::store;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The caller has no response of this name.
    #[error("no response is called {0}")]
    NotFound(String),
    /// The turn failed before its answer began.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
