//! Errors of batch requests.

use crate::api::request_schema::InvalidRequest;
use crate::storage::files;
use crate::storage::store;

/// Reasons why a batch request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The project has no batch with this id.
    #[error("no batch is called {0}")]
    NotFound(String),
    /// A file cannot be opened or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Reading a file failed.
    #[error("a file cannot be read")]
    Read(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
