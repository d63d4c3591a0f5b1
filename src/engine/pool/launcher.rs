//! Traits that the pool requires of the things it pools.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

/// Starts workers for the pool.
pub trait Launcher: Send + Sync + 'static {
    /// Type of the pooled worker.
    type Worker: Worker;

    /// Starts a worker and waits until it can be used.
    fn launch(&self) -> impl Future<Output = Result<Self::Worker, LaunchError>> + Send;
}

/// Expensive resource that serves one request at a time. Dropping it ends it.
pub trait Worker: Send + 'static {
    /// Reason why a worker could not be reset; it is logged.
    type ResetError: Error + Send + Sync + 'static;

    /// Stops what the last request left running and clears its state.
    ///
    /// # Errors
    /// Fails if the reset fails, with the cause; the pool then ends the worker.
    fn reset(&mut self) -> impl Future<Output = Result<(), Self::ResetError>> + Send;

    /// Cheap check, without I/O, that the worker still exists.
    fn is_alive(&mut self) -> bool;

    /// Health check: true if the worker responds. It leaves the worker clean; the caller sets the
    /// timeout.
    fn is_responsive(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
}

/// Error of a worker start.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LaunchError {
    /// Reason, and what an operator can do about it. Shown to clients, so it must not name anything
    /// of the machine.
    pub message: String,
    /// Cause, for the log alone.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
    /// Set when a retry cannot help, so that waiting requests fail at once.
    pub is_permanent: bool,
}
