//! Sockets whose clients have not said yet who they are.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::GREETING;
use crate::http::error::ApiError;
use crate::http::error::Kind;

/// The most there may be. Anybody can open one and send it a message: together these take 256 MiB at the most. A page is a
/// stranger for the time of its first message.
const MOST: usize = 64;

/// Counts them. Clones count together.
#[derive(Debug, Clone)]
pub(in crate::http) struct Strangers(Arc<Semaphore>);

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    _permit: OwnedSemaphorePermit,
}

impl Default for Strangers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Strangers {
    /// Lets one more in.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub(super) fn admit(&self) -> Result<Stranger, ApiError> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.map(|_permit| Stranger { _permit }).map_err(|_| too_many())
    }
}

fn too_many() -> ApiError {
    let message = format!(
        "The clients of {MOST} sockets have not said yet who they are, and no more may be. Bring the key with the request, in \
         the header `Authorization: Bearer KEY` or as a protocol beside `realtime`, or try again in {} s.",
        GREETING.as_secs()
    );
    ApiError::new(Kind::TooManyStrangers, message).retry_after(GREETING)
}
