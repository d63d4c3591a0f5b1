//! What goes wrong with responses, in words for a stranger.

use super::ApiError;
use super::Kind;
use crate::api::openai::Envelope;
use crate::api::request_schema::printable;
use crate::engine::gateway;
use crate::services::responses::Error;

/// How a client is told of a response that failed, wherever that is: the one table of errors has the words.
pub fn explain(error: &Error) -> Envelope {
    ApiError::from(error.clone()).envelope()
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let id = printable(&id);
                Self::new(
                    Kind::UnknownResponse,
                    format!("Response with id '{id}' not found."),
                )
            }
            Error::Conversation(error) => error.into(),
            Error::Turn(error) => turn(error),
            Error::Store(error) => Self::of_store(error),
        }
    }
}

/// The conversation is called `input` here.
fn turn(error: gateway::Error) -> ApiError {
    let error = ApiError::from(error);
    if error.kind() == Kind::ContextTooLong {
        error.at("input")
    } else {
        error
    }
}
