//! What the gateway needs of a worker.

use std::future::Future;

use super::{Failure, Model, Turn, TurnEvent};

/// A worker that answers turns, one at a time.
///
/// A turn may be left at any point by no longer calling [`next_event`](Self::next_event): whoever owns the worker
/// then has it reset, which interrupts what still runs.
pub trait TurnWorker: Send {
    /// Prepares the worker for `turn` and sends it. Returns once the turn is on its way.
    ///
    /// # Errors
    /// When the worker cannot take the turn; it is then not usable before a reset.
    fn start(&mut self, turn: &Turn) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The next step of the answer, or `None` after [`TurnEvent::Finished`].
    ///
    /// # Errors
    /// When the turn failed; nothing follows.
    fn next_event(&mut self) -> impl Future<Output = Result<Option<TurnEvent>, Failure>> + Send;

    /// The models this worker can serve.
    fn models(&self) -> &[Model];
}
