//! Client messages for errors of conversations.

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::printable;
use crate::services::conversations::Error;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let message = format!(
                    "Conversation with id '{}' not found. It was never created by this key, or deleted, or not changed for too \
                     long.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownConversation, message).at("conversation")
            }
            Error::NoItem(id) => {
                let message = format!(
                    "Item with id '{}' not found in this conversation.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownItem, message)
            }
            Error::Locked(_) => Self::new(
                ErrorKind::ConversationLocked,
                "Another request is changing this conversation. Try again when it has ended.",
            )
            .at("conversation"),
            Error::Full(_) => Self::new(
                ErrorKind::ConversationFull,
                "This conversation has its maximum length. Continue in a new one, or delete items.",
            )
            .at("conversation"),
            Error::Gone(id) => {
                let message = format!(
                    "The conversation '{}' was deleted before the items could be added to it.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownConversation, message).at("conversation")
            }
            Error::NotStored(error) => Self::new(
                ErrorKind::NotKept,
                "This server could not add to the conversation, which is unchanged; see its log.",
            )
            .caused_by(error),
            Error::Store(error) => Self::of_store(error),
        }
    }
}
