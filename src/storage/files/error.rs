//! Errors of file requests.

use crate::api::request_schema::InvalidRequest;
use crate::storage::store;

/// Reasons why a file request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The project has no file with this id.
    #[error("no file is called {0}")]
    NotFound(String),
    /// The file exceeds the size limit.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// Maximum size of a file, in bytes.
        limit: u64,
    },
    /// The files of the project exceed their total size limit.
    #[error("the files of the project have more than {limit} bytes")]
    Full {
        /// Maximum total size of the project's files, in bytes.
        limit: u64,
    },
    /// The contents in the store exceed their total size limit.
    #[error("the contents of files in the store have more than {limit} bytes")]
    StoreFull {
        /// Maximum total size of the contents in the store, in bytes.
        limit: u64,
    },
    /// The file stood still for so long that the servers have removed its beginning.
    #[error("the file was not continued for too long, and its beginning is removed")]
    Abandoned,
    /// The disk has less free space than [`Config`](super::Config) requires.
    #[error(transparent)]
    DiskFull(store::Error),
    /// The folder or a file in it cannot be read or written.
    #[error("the folder of files cannot be used")]
    Folder(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
