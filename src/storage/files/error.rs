//! How a request about files fails.

use crate::api::request_schema::InvalidRequest;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The project has no file of this name.
    #[error("no file is called {0}")]
    NotFound(String),
    /// The file is larger than any may be.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// How large it may be, in bytes.
        limit: u64,
    },
    /// The files of the project are larger than they may be.
    #[error("the files of the project have more than {limit} bytes")]
    Full {
        /// How large they may be together, in bytes.
        limit: u64,
    },
    /// The disk has less free space than is to stay free.
    #[error(transparent)]
    DiskFull(store::Error),
    /// The folder cannot be read or written.
    #[error("the folder of files cannot be used")]
    Folder(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
