//! Client messages for errors of responses.

use super::ApiError;
use super::ErrorKind;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::request_schema::printable;
use crate::engine::gateway;
use crate::services::responses::Error;

/// Converts the failure of a response to the error that clients see in it.
pub fn response_error(error: &Error) -> OpenAiErrorEnvelope {
    ApiError::from(error.clone()).envelope()
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::NotFound(id) => {
                let id = printable(&id);
                Self::new(
                    ErrorKind::UnknownResponse,
                    format!("Response with id '{id}' not found."),
                )
            }
            Error::Conversation(error) => error.into(),
            Error::Turn(error) => turn(error),
            Error::Store(error) => Self::of_store(error),
        }
    }
}

/// Converts a turn's error; the conversation is in the field `input` here.
fn turn(error: gateway::Error) -> ApiError {
    let error = ApiError::from(error);
    if error.kind() == ErrorKind::ContextTooLong {
        error.at("input")
    } else {
        error
    }
}
