//! What the pool needs of the things it pools.

use std::future::Future;

/// Makes workers.
pub trait Launcher: Send + Sync + 'static {
    /// What it makes.
    type Worker: Worker;

    /// Starts a worker and waits until it can be used.
    fn launch(&self) -> impl Future<Output = Result<Self::Worker, LaunchError>> + Send;
}

/// An expensive thing that serves one request at a time. Dropping it ends it.
pub trait Worker: Send + 'static {
    /// Ends what the last request left running and forgets all of it.
    ///
    /// # Errors
    /// With what went wrong; the worker is then ended.
    fn reset(&mut self) -> impl Future<Output = Result<(), String>> + Send;

    /// Whether it can still be used, as far as can be seen from outside.
    fn is_alive(&mut self) -> bool;

    /// Whether it gives a sign of life. Leaves it as clean as it is. Whoever asks bounds the time.
    fn answers(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
}

/// Why a worker could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LaunchError {
    /// What went wrong and what an operator can do about it. Clients are told, so it names nothing of the machine.
    pub message: String,
    /// Whether it will not pass by itself, so that those who wait are told at once.
    pub is_permanent: bool,
}
