//! Client messages for errors of files.

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::printable;
use crate::storage::files::Error;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let message = format!(
                    "No such file: '{}'. It was never uploaded to this key's project, or deleted, or has expired.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownFile, message).at("id")
            }
            Error::TooLarge { limit } => Self::new(
                ErrorKind::TooLarge,
                format!("The file is larger than the {limit} bytes that this server accepts. Split it."),
            )
            .at("file"),
            Error::Full { limit } => Self::new(
                ErrorKind::FilesFull,
                format!(
                    "The files of this project would exceed their limit of {limit} bytes with this one. \
                     Delete some: GET /v1/files lists them."
                ),
            )
            .at("file"),
            Error::StoreFull { limit } => Self::new(
                ErrorKind::FilesFull,
                format!(
                    "The files of all projects would exceed the {limit} bytes that this server keeps with this one. \
                     Delete some: GET /v1/files lists those of this project."
                ),
            )
            .at("file"),
            Error::Abandoned => Self::new(
                ErrorKind::BodyTimeout,
                "The file was not continued for an hour, and its beginning was removed. Upload it again.",
            ),
            Error::Folder(error) => Self::unreachable("files", error),
            Error::DiskFull(error) => Self::unreachable("files", error),
            Error::Store(error) => Self::of_store(error),
        }
    }
}
