//! Gateway: runs a turn on a worker and checks its answer.
//!
//! [`pipeline`] shows the steps in their order, from the permissions of the caller to the pool. At
//! its end, [`Gateway`] runs the turn:
//!
//! 1. A server without a sign-in refuses the turn.
//! 2. The model's name is resolved once the catalogue is known; an unknown one is refused before it
//!    waits.
//! 3. While calls upstream keep failing, or the model is rate limited, the circuit breaker refuses
//!    the turn at once, except probes.
//! 4. The pool lends a clean worker, fairly among keys, within the bounds of its queue. On a server
//!    with several sign-ins each has its own breaker and pool, and the turn begins with the first
//!    that can serve it; until its answer begins, it goes on with the next one if that fails.
//! 5. The worker takes the turn with its whole conversation, its tools in a form that upstream
//!    accepts. Parameters that upstream refuses by name are removed, and the turn is sent again. A
//!    worker that dies before the model began to answer is replaced once, after a pause.
//! 6. The events stream out as they come; the lease lives in the stream. Stop texts that Anthropic
//!    does not accept are enforced here.
//! 7. The answer fails at its end if the arguments of a strict tool, or the answer itself, do not
//!    have the form that was asked for. An answer in a wrong format that was not sent to the client
//!    yet is run once more first; likewise if a required tool call is missing.
//! 8. At the end of the answer, or when the stream is dropped, the worker returns to the pool and
//!    is reset. A worker that failed is ended.

mod breaker;
mod catalogue;
mod circuit;
mod config;
mod error;
mod forced_call;
mod instructions;
mod json_answer;
mod learned_refusals;
mod model_rules;
mod other_models;
mod patterns;
mod pipeline;
mod prefill;
mod property_names;
mod refused_field;
mod refused_part_names;
mod required_call_filter;
mod run;
mod schema;
mod schema_check;
mod service;
mod sign_ins;
mod stop_sequences;
mod strict;
mod taken_fallback;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod thinking;
mod turn_files;
mod usage_counter;

use std::pin::Pin;

use futures::Stream;
use futures::future::BoxFuture;

use crate::accounts::rate_limit::RateLimitState;
use crate::domain::Caller;
use crate::domain::CostMeter;
use crate::domain::CostWatch;
use crate::domain::Gate;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::cache::Cache;
use crate::engine::hooks::HookNotes;
use crate::engine::routing::FallbackModel;
use crate::engine::routing::RoutingChoice;
use crate::telemetry::metrics::CircuitLevel;

pub use crate::engine::pool::BusyReason;
pub use breaker::Breaker;
pub use catalogue::LONG_CONTEXT_SUFFIX;
pub use catalogue::ModelNames;
pub use config::BreakerConfig;
pub use config::ModelConfig;
pub use config::ServerToolConfig;
pub use config::WebSearchConfig;
pub use error::Error;
pub use error::FileFault;
pub use error::HookedError;
pub use error::ServerToolsOff;
pub use error::SharedCause;
pub use model_rules::ModelRules;
pub use other_models::OtherModels;
pub use pipeline::AdmissionDeps;
pub use pipeline::ErrorDescriber;
pub use pipeline::PipelineHooks;
pub use pipeline::PipelineSteps;
pub use pipeline::TurnPipeline;
pub use refused_part_names::RefusedPartNames;
pub use service::{Gateway, SignInState};
pub use sign_ins::ServingSignIn;
pub use sign_ins::SignInFacts;
pub use sign_ins::SignInLevel;
pub use sign_ins::SignInName;
pub use sign_ins::SignInPool;
pub use sign_ins::SignInUse;
pub use taken_fallback::FallbackFacts;
pub use taken_fallback::TakenFallback;
pub use turn_files::FileMemory;
pub use turn_files::TurnFiles;

/// Response cache of the gateway; clones share it.
pub type AnswerCache = Cache<Error>;

/// Events of a running turn. Dropping the stream cancels the turn: the run is interrupted and the
/// worker returned.
pub type TurnStream = Pin<Box<dyn Stream<Item = Result<TurnEvent, Error>> + Send>>;

/// Turn that a worker has accepted, or an answer from the cache.
pub struct RunningTurn {
    /// Metadata of the turn besides its events.
    pub info: TurnInfo,
    /// Events of the answer. Ends after `TurnEvent::Finished` or after the first error.
    pub events: TurnStream,
    /// Usage and cost of the runs, as soon as they are known.
    pub costs: CostWatch,
}

impl RunningTurn {
    /// Creates a running turn whose runs report no cost.
    pub fn new(info: TurnInfo, events: TurnStream) -> Self {
        Self {
            info,
            events,
            costs: CostMeter::default().reader(),
        }
    }
}

/// Metadata of a turn that a caller receives besides its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TurnInfo {
    /// Resolved id of the model that answers; empty while it is not known.
    pub model: String,
    /// Routing decision, for a caller that left the model open.
    pub route: Option<RoutingChoice>,
    /// Remaining rate limits of the caller.
    pub limits: RateLimitState,
    /// True if the turn had to wait for a worker.
    pub has_queued: bool,
    /// Cache status; `None` if the turn did not pass the cache.
    pub cache: Option<CacheStatus>,
    /// Parts of the request that were left out, because the model does not take them or the caller
    /// may not use them.
    pub left_out: Vec<String>,
    /// Further names of this kind, which upstream refuses while the turn runs.
    pub refused: RefusedPartNames,
    /// Names of parts that were expressed in another way, because the model does not take them as
    /// they are.
    pub repaired: Vec<&'static str>,
    /// Fallback that the turn has taken; settled with the first event of the answer.
    pub fallback: TakenFallback,
    /// Hooks that were called for the turn, and what they decided.
    pub hooks: HookNotes,
    /// Sign-in that runs the turn, on a server with several.
    pub sign_in: ServingSignIn,
}

/// Adaptation of a turn to its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFit {
    /// Resolved id of the model.
    pub model: String,
    /// Parameters that the model does not take; the turn runs without them.
    pub left_out: Vec<String>,
    /// Names of parts that the model does not take and gets in another way.
    pub repaired: Vec<&'static str>,
    /// Maximum number of runs that the turn may take.
    pub runs: u32,
}

/// Cache status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// Served from the cache, or from the run of an equal turn.
    Hit,
    /// Missing from the cache; run, and stored if it ends well.
    Miss,
    /// Run without the cache.
    Bypass,
}

impl TurnInfo {
    /// Creates the metadata of a turn that `model` answers.
    pub fn for_model(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }

    /// Returns the names of everything that is expressed in another way for the model that answers.
    pub fn all_repaired(&self) -> Vec<&'static str> {
        let taken = self.fallback.facts();
        taken.map_or_else(|| self.repaired.clone(), |taken| taken.repaired)
    }

    /// Returns the names of everything that was left out so far.
    pub fn all_left_out(&self) -> Vec<String> {
        let mut names = [self.left_out.clone(), self.refused.names()].concat();
        if let Some(taken) = self.fallback.facts() {
            names.extend(taken.left_out);
            names.extend(taken.refused.names());
        }
        names
    }
}

impl std::fmt::Debug for RunningTurn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RunningTurn")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Model that callers may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// Value for `model` in requests.
    pub name: ModelName,
    /// Id that the name resolves to; equal to `name` for an id.
    pub resolves_to: String,
}

/// Readiness of the server to serve turns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Problems, each a sentence with advice for an operator; empty when ready.
    pub problems: Vec<String>,
    /// What is not served while the rest is, each a sentence for an operator; empty when all is.
    pub degraded: Vec<String>,
    /// Numbers of workers by state.
    pub workers: WorkerCounts,
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Circuits of the circuit breaker.
    pub circuits: Vec<CircuitLevel>,
    /// States of the sign-ins; empty without one.
    pub sign_ins: Vec<SignInLevel>,
}

/// Numbers of worker processes by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Maximum number of workers.
    pub max: usize,
    /// Workers that are being started.
    pub starting: usize,
    /// Workers that are ready for a request.
    pub idle: usize,
    /// Workers lent to a request.
    pub busy: usize,
    /// Workers being reset after a request.
    pub resetting: usize,
}

/// Interface to what runs turns: the [pipeline](TurnPipeline), the gateway at its end, and those
/// that stand in for them in tests.
pub trait Turns: Send + Sync {
    /// Checks the caller's rate limits before the body is read. The returned caller carries a
    /// permit: the first turn run for it uses the permit, and an unused one is given back.
    ///
    /// # Errors
    /// [`Error::Limited`] if a rate limit is reached.
    fn enter(&self, caller: Caller) -> BoxFuture<'_, Result<Caller, Error>> {
        Box::pin(std::future::ready(Ok(caller)))
    }

    /// Checks the caller's rate limits as [`enter`](Self::enter) does, for a request that was counted
    /// before and begins only now.
    ///
    /// # Errors
    /// [`Error::Limited`] if a limit of tokens or of concurrent requests is reached.
    fn enter_again(&self, caller: Caller) -> BoxFuture<'_, Result<Caller, Error>> {
        Box::pin(std::future::ready(Ok(caller)))
    }

    /// Checks, without waiting, if `turn` would be refused now: by a missing sign-in, an unknown
    /// model, the circuit breaker or a full queue. [`run`](Self::run) checks all of it again.
    ///
    /// # Errors
    /// The error that `run` would return.
    fn preflight(&self, _: &Caller, _: &Turn) -> Result<(), Error> {
        Ok(())
    }

    /// Runs `turn` for `caller`: waits for a worker within the bounds of the queue, and sends it
    /// the turn.
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>>;

    /// Runs `turn` as [`run`](Self::run) does, but sends it upstream only when `gate` is open.
    fn run_gated(
        &self,
        gate: Gate,
        caller: Caller,
        turn: Turn,
    ) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        Box::pin(async move {
            gate.wait_until_open().await;
            self.run(caller, turn).await
        })
    }

    /// Counts the tokens of the prompt of `turn`, instructions and tools included, by asking
    /// upstream.
    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>>;

    /// Returns the id of the model that would answer `turn`, if its caller may use it.
    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>>;

    /// Returns the model that answers `turn`, and the fields of `turn` that it does not take. While
    /// no models are known, waits for a worker on behalf of the caller.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and [`Error::Restricted`] if turns are not adapted to their models.
    fn fit<'a>(&'a self, _: &'a Caller, turn: &'a Turn) -> BoxFuture<'a, Result<ModelFit, Error>> {
        Box::pin(std::future::ready(Ok(ModelFit {
            model: turn.model.to_string(),
            left_out: Vec::new(),
            repaired: Vec::new(),
            runs: json_answer::max_runs(&turn.sampling.format),
        })))
    }

    /// Returns the model with this `name`. An implementation may know more names than it lists.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] if there is none.
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

    /// Lists the models: ids, the CLI's aliases, configured names.
    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>>;

    /// Returns, without waiting, why `fallback` never answers turns of the caller; `None` if it may.
    fn fallback_refusal(&self, _: &Caller, _: &FallbackModel) -> Option<Error> {
        None
    }

    /// Returns what tells callers with different sign-ins apart: equal numbers have the same ones, and 0
    /// has all of them.
    fn sign_in_variant(&self, _: &Caller) -> u64 {
        0
    }

    /// Reports the readiness to serve turns.
    fn readiness(&self) -> Readiness;
}
