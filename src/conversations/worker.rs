//! What the gateway needs of a worker.

use std::future::Future;

use crate::domain::Caller;
use crate::domain::Failure;
use crate::domain::Model;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::trail::Trail;

/// A turn and the conversation it belongs to.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The turn; its model is resolved.
    pub turn: Turn,
    /// Its conversation.
    pub trail: Trail,
}

impl Errand {
    /// The errand of `caller`.
    pub fn new(caller: &Caller, turn: Turn) -> Self {
        let trail = Trail::of(caller, &turn);
        Self { turn, trail }
    }
}

/// A worker that answers turns, one at a time.
///
/// A turn may be left at any point by no longer calling [`next_event`](Self::next_event): whoever owns the worker
/// then has it reset, which interrupts what still runs.
pub trait TurnWorker: Send {
    /// Prepares the worker for the turn and sends it: only what it does not hold of the conversation yet. Returns once
    /// the turn is on its way.
    ///
    /// # Errors
    /// When the worker cannot take the turn; it is then not usable before a reset.
    fn start(&mut self, errand: &Errand) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The next step of the answer, or `None` after [`TurnEvent::Finished`].
    ///
    /// # Errors
    /// When the turn failed; nothing follows.
    fn next_event(&mut self) -> impl Future<Output = Result<Option<TurnEvent>, Failure>> + Send;

    /// How many tokens the prompt of the turn has. The worker is to be reset afterwards.
    ///
    /// # Errors
    /// When they cannot be counted.
    fn count_tokens(&mut self, errand: &Errand) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// The models this worker can serve.
    fn models(&self) -> &[Model];
}
