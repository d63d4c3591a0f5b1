//! Client messages for errors of sessions.

use super::ApiError;
use super::Kind;
use crate::api::request_schema::printable;
use crate::services::sessions::Error;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let message = format!(
                    "No such session: '{}'. It was never made by this key, or deleted, or nothing was said in it for too \
                     long.",
                    printable(&id)
                );
                Self::new(Kind::UnknownSession, message)
            }
            Error::Busy(_) => Self::new(
                Kind::SessionBusy,
                "Another message to this session is being answered. Send the next when that is over.",
            ),
            Error::TooMany(most) => Self::new(
                Kind::TooManySessions,
                format!(
                    "This key has {most} sessions, and no more may be. Delete some: GET /v1/sessions lists them."
                ),
            ),
            Error::Full(_) => Self::new(
                Kind::SessionFull,
                "The conversation of this session is as long as may be. Go on in a new one.",
            ),
            Error::Gone(id) => {
                let id = printable(&id);
                let message = format!("The session '{id}' was deleted while this was answered, so the answer is not kept.");
                Self::new(Kind::UnknownSession, message)
            }
            Error::NotKept(error) => Self::new(
                Kind::NotKept,
                "This server could not keep the answer; its log tells more. The session is as it was before the message.",
            )
            .caused_by(error),
            Error::Turn(error) => error.into(),
            Error::Store(error) => Self::of_store(error),
        }
    }
}
