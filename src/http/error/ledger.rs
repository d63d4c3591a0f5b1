//! Client messages for errors of reading usage.

use super::ApiError;
use super::ErrorKind;
use crate::accounts::ledger::Error;

impl From<Error> for ApiError {
    /// The cause and its remedy go to the log only, since they concern the operator.
    fn from(error: Error) -> Self {
        Self::new(
            ErrorKind::Internal,
            "This server cannot read its ledger; see its log.",
        )
        .caused_by(error)
    }
}
