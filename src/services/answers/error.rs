//! Errors of requests that are answered without HTTP, and their form for clients.

use std::time::Duration;

use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::request_schema::InvalidRequest;
use crate::domain::Caller;
use crate::engine::gateway;
use crate::engine::hooks::FailedRequest;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::WireError;
use crate::services::responses;

/// Error of a request that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The turn failed.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// The response could not be created.
    #[error(transparent)]
    Response(#[from] responses::Error),
}

/// Error as a client of the endpoint would receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// HTTP status of the error.
    pub status: u16,
    /// Error body in `OpenAI`'s format.
    pub envelope: OpenAiErrorEnvelope,
    /// Advice on whether a retry may succeed.
    pub retry: RetryAdvice,
    /// Set if the turn that failed has reported the error to hooks.
    pub is_reported: bool,
}

impl ClientError {
    /// Notifies `hooks` of the error of a request of `caller`, unless its turn has reported it.
    pub fn notify_hooks(&self, hooks: &Hooks, caller: &Caller) {
        if self.is_reported {
            return;
        }
        let error = WireError {
            status: self.status,
            code: self.envelope.code.unwrap_or_default().to_owned(),
            message: self.envelope.message.clone(),
        };
        hooks.notify_error(&FailedRequest::of_caller(caller), &error, None);
    }
}

/// Advice on whether a retry may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Retry after this delay.
    After(Duration),
    /// Unknown: a retry may succeed.
    Unknown,
    /// A retry fails again.
    Never,
}

/// Maps an error to the form in which a client receives it. Supplied by `http`, which knows status
/// codes.
pub type ClientErrorMapper = fn(Error) -> ClientError;
