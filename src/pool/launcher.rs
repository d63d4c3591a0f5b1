//! What the pool needs of the things it pools.

use std::future::Future;

/// Makes workers.
pub trait Launcher: Send + Sync + 'static {
    /// What it makes.
    type Worker: Worker;

    /// Starts a worker and waits until it can be used.
    fn launch(&self) -> impl Future<Output = Result<Self::Worker, LaunchError>> + Send;
}

/// What would be lost if a worker were reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stake {
    /// Nothing.
    Nothing,
    /// Something that would have to be made again should anybody come back for it.
    Work,
    /// Something that somebody is about to come back for.
    Promise,
}

/// An expensive thing that serves one request at a time. Dropping it ends it.
pub trait Worker: Send + 'static {
    /// What a request wants a worker for.
    type Errand: Sync;

    /// How much of `errand` is done already in the worker as its last request left it; 0 when a clean one serves as
    /// well.
    fn done_of(&self, errand: &Self::Errand) -> usize;

    /// What would be lost by a reset now.
    fn stake(&self) -> Stake;

    /// Ends what the last request left running and forgets all of it.
    ///
    /// # Errors
    /// With what went wrong; the worker is then ended.
    fn reset(&mut self) -> impl Future<Output = Result<(), String>> + Send;

    /// Whether it can still be used.
    fn is_alive(&mut self) -> bool;
}

/// Why a worker could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LaunchError {
    /// What went wrong and what an operator can do about it.
    pub message: String,
    /// Whether it will not pass by itself, so that those who wait are told at once.
    pub is_permanent: bool,
}
