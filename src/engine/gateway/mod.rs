//! One turn, from admitted to finished: the only part that knows the order.
//!
//! 0. [`Admission`] refuses a model that the caller may not name, chooses one for a caller who leaves it open, asks the
//!    caller's limits, looks whether the answer is known, and holds in the ledger what the run may cost. Permit and hold live
//!    in the stream; the charge is on disk before the last event leaves.
//! 1. A server without a sign-in refuses the turn.
//! 2. The model's name is resolved, where the catalogue is known already; an unknown one is refused before it waits.
//! 3. While calls upstream keep failing, or those of the model meet its limit, the breaker refuses the turn at once, but for one now
//!    and then as a probe.
//! 4. The pool lends a clean worker, to keys in turn, waiting no longer than its queue allows.
//! 5. The worker takes the turn with its whole conversation, its tools in a form that upstream takes. What upstream refuses by name is
//!    left out, and the turn given to it once more. One that dies before the model began to answer is replaced, once, after a pause.
//! 6. The events stream out as they come; the lease lives in the stream. A stop text that Anthropic does not watch for ends it here.
//! 7. The answer has failed after all if the arguments of a strict tool do not keep to its schema, or if it does not have the
//!    form that was asked for. As long as nothing of it was given out, the turn is run once more before; so it is where a call was
//!    demanded in words and did not come.
//! 8. With the end of the answer, or of the stream, the worker goes back to the pool and is reset. A worker that failed is
//!    ended.

mod admission;
mod breaker;
mod catalogue;
mod circuit;
mod demand;
mod error;
mod forced_call;
mod form;
mod instructions;
mod keeping;
mod late;
mod learnt;
mod model_rules;
mod patterns;
mod prefill;
mod property_names;
mod refused_field;
mod run;
mod schema;
mod service;
mod stops;
mod strict;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod thinking;

use std::pin::Pin;

use futures::Stream;
use futures::future::BoxFuture;

use crate::accounts::rate_limit::State;
use crate::domain::Bill;
use crate::domain::BillReader;
use crate::domain::Caller;
use crate::domain::Gate;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::cache::Cache;
use crate::engine::routing::Choice;

pub use crate::engine::pool::BusyReason;
pub use admission::Admission;
pub use admission::Rules;
pub use breaker::Breaker;
pub use catalogue::ModelNames;
pub use error::Error;
pub use error::FileFault;
pub use error::ServerToolsOff;
pub use late::LateNames;
pub use model_rules::ModelRules;
pub use service::{Gateway, SignInState};

/// Answers that are given again. Clones share them.
pub type AnswerCache = Cache<Error>;

/// The events of a running turn. Dropping it ends the turn: its run is interrupted and its worker given back.
pub type TurnStream = Pin<Box<dyn Stream<Item = Result<TurnEvent, Error>> + Send>>;

/// A turn that a worker has taken.
pub struct RunningTurn {
    /// What there is to say about it beside its events.
    pub told: Told,
    /// What comes back. Ends after `TurnEvent::Finished` or after the first error.
    pub events: TurnStream,
    /// What it cost, as soon as whoever runs it knows.
    pub bill: BillReader,
}

impl RunningTurn {
    /// One of which nobody says what it costs.
    pub fn new(told: Told, events: TurnStream) -> Self {
        Self {
            told,
            events,
            bill: Bill::default().reader(),
        }
    }
}

/// What a caller is told of a turn beside its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The resolved id of the model that answers; empty where that is not known yet.
    pub model: String,
    /// Why this model was chosen, for a caller who left it open.
    pub route: Option<Choice>,
    /// What is left of the caller's limits.
    pub limits: State,
    /// What the cache had to do with it; none where nobody asked it.
    pub cache: Option<CacheStatus>,
    /// What of the request was left out because the model does not take it or the caller may not have it.
    pub left_out: Vec<String>,
    /// The same, as far as upstream says so while the turn runs.
    pub refused: LateNames,
    /// The names of what was put in another way because the model does not take it.
    pub repaired: Vec<&'static str>,
}

/// How a turn fits its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The id of the model.
    pub model: String,
    /// The parameters that it does not take, so that the turn runs without them.
    pub left_out: Vec<String>,
    /// The names of what it does not take and gets in another way.
    pub repaired: Vec<&'static str>,
    /// How many runs the turn may take at most.
    pub runs: u32,
}

/// What the cache has to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// It is given again: it took no run of its own.
    Hit,
    /// It is made, and may be given again.
    Miss,
    /// It is made, and none of the cache's business.
    Bypass,
}

impl Told {
    /// What there is to say of any turn that `model` answers.
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }

    /// The names of all that was left out.
    pub fn all_left_out(&self) -> Vec<String> {
        self.left_out
            .iter()
            .cloned()
            .chain(self.refused.so_far())
            .collect()
    }
}

impl std::fmt::Debug for RunningTurn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RunningTurn")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// A model that callers may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// The value for `model` in requests.
    pub name: ModelName,
    /// The id it stands for; equal to `name` for an id.
    pub resolves_to: String,
}

/// Whether turns can be served now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What stands in the way, one sentence each that tells an operator what to do; empty when ready.
    pub problems: Vec<String>,
    /// Workers by what they are doing.
    pub workers: WorkerCounts,
    /// Requests that wait for a worker.
    pub waiting: usize,
}

/// Worker processes by what they are doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// The most there may be.
    pub max: usize,
    /// Being started.
    pub starting: usize,
    /// Ready for a request.
    pub idle: usize,
    /// Lent to a request.
    pub busy: usize,
    /// Being reset after a request.
    pub resetting: usize,
}

/// What the doors ask of the gateway; a trait, so that they can be tested without workers.
pub trait Turns: Send + Sync {
    /// Checks the caller's limits before the body is read. The caller that is returned carries the permit: the first turn run for it
    /// uses the permit, and an unused one is given back.
    ///
    /// # Errors
    /// [`Error::Limited`] when a limit is reached.
    fn enter(&self, caller: Caller) -> Result<Caller, Error> {
        Ok(caller)
    }

    /// Runs `turn` for `caller`: waits for a worker no longer than the queue allows and sends it the turn.
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>>;

    /// As [`run`](Self::run), for a turn that goes upstream only when `gate` is open.
    fn run_behind(
        &self,
        gate: Gate,
        caller: Caller,
        turn: Turn,
    ) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        Box::pin(async move {
            gate.pass().await;
            self.run(caller, turn).await
        })
    }

    /// How many tokens the prompt of `turn` has, instructions and tools included, as counted upstream.
    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>>;

    /// The id of the model that would answer `turn`, if its caller may have it.
    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>>;

    /// The model that answers `turn`, and the fields of `turn` that the model does not take. While no models are known, waits for a
    /// worker on behalf of the caller.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and [`Error::Restricted`] where turns are not adapted to their models.
    fn fit<'a>(&'a self, _: &'a Caller, turn: &'a Turn) -> BoxFuture<'a, Result<Fit, Error>> {
        Box::pin(std::future::ready(Ok(Fit {
            model: turn.model.to_string(),
            left_out: Vec::new(),
            repaired: Vec::new(),
            runs: form::most_runs(&turn.sampling.format),
        })))
    }

    /// The model that callers may call `name`. An implementation may know more names than it lists.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] when there is none.
    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        Box::pin(async move {
            let card = self
                .models()
                .await?
                .into_iter()
                .find(|card| card.name == name);
            card.ok_or_else(|| Error::UnknownModel(name.to_string()))
        })
    }

    /// The models that are listed: ids, the CLI's aliases, configured names.
    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>>;

    /// Whether turns can be served now.
    fn readiness(&self) -> Readiness;
}
