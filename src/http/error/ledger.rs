//! What goes wrong where usage is read.

use super::ApiError;
use super::Kind;
use crate::accounts::ledger::Error;

impl From<Error> for ApiError {
    /// What to do about it is for whoever runs the server, and stands in its log.
    fn from(error: Error) -> Self {
        Self::new(
            Kind::Internal,
            "This server cannot read its ledger; its log tells more.",
        )
        .caused_by(error)
    }
}
