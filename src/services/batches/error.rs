//! How a request about batches fails.

use crate::api::request_schema::InvalidRequest;
use crate::storage::files;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The project has no batch of this name.
    #[error("no batch is called {0}")]
    NotFound(String),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A file cannot be read.
    #[error("a file cannot be read")]
    Read(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
