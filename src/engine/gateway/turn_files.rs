//! Interface to the uploaded files that turns name.

use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::Error;
use crate::domain::Caller;
use crate::domain::Turn;

/// Memory reserved for the files of a turn; freed when dropped. `None` if none is reserved.
pub type FileMemory = Option<OwnedSemaphorePermit>;

/// Puts the contents of uploaded files into the turns that name them.
pub trait TurnFiles: Send + Sync {
    /// True if `turn` names a file by its id.
    fn are_named_in(&self, turn: &Turn) -> bool;

    /// Replaces the ids of files in `turn` with their contents, after waiting for the memory that
    /// they take. The memory is to be held until the turn has started, so that waiting turns cannot
    /// exhaust it.
    ///
    /// # Errors
    /// [`Error::File`] if a file cannot be used, [`Error::Busy`] if the wait is too long.
    fn inline<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a mut Turn,
    ) -> BoxFuture<'a, Result<FileMemory, Error>>;
}
