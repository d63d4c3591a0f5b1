//! How a request is not answered.

use std::time::Duration;

use crate::api::openai::Envelope;
use crate::api::request_schema::InvalidRequest;
use crate::engine::gateway;
use crate::services::responses;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be served as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// Its turn failed.
    #[error(transparent)]
    Turn(#[from] gateway::Error),
    /// Its response cannot be made.
    #[error(transparent)]
    Response(#[from] responses::Error),
}

/// What a client of the endpoint would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The body.
    pub envelope: Envelope,
    /// Whether it helps to ask again.
    pub again: Again,
}

/// Whether it helps to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After this time.
    After(Duration),
    /// Nobody knows.
    Perhaps,
    /// It does not.
    Never,
}

/// The words for an error.
pub type Explain = fn(Error) -> Refusal;
