//! Client messages for errors of batches.

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::printable;
use crate::services::batches::Error;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let message = format!(
                    "No batch found with id '{}' in this key's project.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownBatch, message).at("id")
            }
            Error::File(error) => error.into(),
            Error::Read(_) => Self::unreachable("files", error),
            Error::Store(error) => Self::of_store(error),
        }
    }
}
