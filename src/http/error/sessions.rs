//! Client messages for errors of sessions.

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::printable;
use crate::services::sessions::Error;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let message = format!(
                    "No such session: '{}'. It was never created by this key, or deleted, or had no new message for too \
                     long.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownSession, message)
            }
            Error::Busy(_) => Self::new(
                ErrorKind::SessionBusy,
                "Another message to this session is being answered. Send the next one after its answer.",
            ),
            Error::TooMany(most) => Self::new(
                ErrorKind::TooManySessions,
                format!(
                    "This key has {most} sessions, which is the maximum. Delete some: GET /v1/sessions lists them."
                ),
            ),
            Error::Full(_) => Self::new(
                ErrorKind::SessionFull,
                "The conversation of this session has its maximum length. Continue in a new one.",
            ),
            Error::Gone(id) => {
                let id = printable(&id);
                let message = format!(
                    "The session '{id}' was deleted while the message was answered, so the answer is not stored."
                );
                Self::new(ErrorKind::UnknownSession, message)
            }
            Error::NotStored(error) => Self::new(
                ErrorKind::NotKept,
                "This server could not store the answer; see its log. The session is unchanged.",
            )
            .caused_by(error),
            Error::Turn(error) => error.into(),
            Error::Store(error) => Self::of_store(error),
        }
    }
}
