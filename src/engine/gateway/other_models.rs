//! Models of other servers, which may answer in place of Claude's.

use futures::future::BoxFuture;

use super::Error;
use super::ModelFit;
use super::RunningTurn;
use crate::domain::Amount;
use crate::domain::Gate;
use crate::domain::Turn;

/// Interface to the chat models of other servers.
pub trait OtherModels: Send + Sync {
    /// Checks that the model of `turn` at the server `upstream` can answer it.
    ///
    /// # Errors
    /// Fails when there is no such model, or the turn has what a chat of an API like `OpenAI`'s cannot
    /// express.
    fn fit(&self, upstream: &str, turn: &Turn) -> Result<ModelFit, Error>;

    /// Estimates the tokens and the cost of `turn`, whose prompt has `prompt_tokens`, at most.
    fn estimate(&self, upstream: &str, turn: &Turn, prompt_tokens: u64) -> Amount;

    /// Runs `turn` on its model at the server `upstream` once `gate` is open. A call that fails is the error of the first event, so that its cost is known.
    fn run_gated<'a>(
        &'a self,
        upstream: &'a str,
        gate: Gate,
        turn: Turn,
    ) -> BoxFuture<'a, Result<RunningTurn, Error>>;
}
