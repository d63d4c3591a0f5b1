//! Gateway over a pool of workers.

use std::sync::Arc;
use std::sync::OnceLock;

use futures::future::BoxFuture;

use crate::domain::Caller;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Gate;
use crate::domain::Model;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::domain::unix_now;
use crate::engine::pool::Claim;
use crate::engine::pool::Class;
use crate::engine::pool::Error as PoolError;
use crate::engine::pool::Launcher;
use crate::engine::pool::Pool;
use crate::engine::worker::TurnWorker;
use crate::engine::worker::WorkerTurn;
use crate::runtime::compute::in_place;
use crate::runtime::fair_queue::Tenant;
use crate::telemetry::traces::SpanScope;

use super::breaker::Breaker;
use super::catalogue::ModelNames;
use super::forced_call;
use super::json_answer::JsonAnswerCheck;
use super::model_rules::ModelRules;
use super::required_call_filter::RequiredCallFilter;
use super::run::TurnRun;
use super::run::WorkerSource;
use super::sign_in_level::SignInFacts;
use super::sign_in_level::SignInLevel;
use super::{Error, ModelCard, ModelFit, Readiness, RunningTurn, TurnInfo, Turns, WorkerCounts};

/// Sign-in of the server.
#[derive(Debug)]
pub enum SignInState<L: Launcher> {
    /// Signed in: workers can be started.
    SignedIn(Pool<L>),
    /// Missing sign-in; the text says what to set.
    Missing(String),
}

/// Runs turns on the workers of a pool.
pub struct Gateway<L: Launcher> {
    workers: SignInState<L>,
    names: ModelNames,
    rules: Arc<ModelRules>,
    /// Circuit breaker of the one sign-in.
    breaker: Breaker,
    /// Models that the first worker reported; the same for all workers.
    models: OnceLock<Vec<Model>>,
    /// Facts about the sign-in.
    facts: SignInFacts,
}

impl<L: Launcher> std::fmt::Debug for Gateway<L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<L: Launcher> Gateway<L>
where
    L::Worker: TurnWorker,
{
    /// Creates a gateway that serves the CLI's models under their own and the further `names`,
    /// guarded by the `breaker` of the workers' sign-in.
    pub fn new(
        workers: SignInState<L>,
        names: ModelNames,
        rules: ModelRules,
        breaker: Breaker,
    ) -> Self {
        Self {
            workers,
            names,
            rules: Arc::new(rules),
            breaker,
            models: OnceLock::new(),
            facts: SignInFacts::default(),
        }
    }

    /// Shows `facts` about the sign-in with its state.
    #[must_use]
    pub fn with_sign_in(mut self, facts: SignInFacts) -> Self {
        self.facts = facts;
        self
    }

    fn pool(&self) -> Result<&Pool<L>, Error> {
        match &self.workers {
            SignInState::SignedIn(pool) => Ok(pool),
            SignInState::Missing(what) => Err(Error::NotSignedIn(what.clone())),
        }
    }

    /// Returns the catalogue; the first requests wait for a worker to ask.
    async fn catalogue(&self, claim: &Claim) -> Result<&[Model], Error> {
        if self.models.get().is_none() {
            let lease = self.pool()?.lease(claim).await?;
            if let Some(worker) = lease.inspect() {
                self.models.get_or_init(|| worker.models().to_vec());
            }
        }
        Ok(self.models.get().map_or(&[], Vec::as_slice))
    }

    /// Replaces the model of the turn by its resolved id.
    async fn with_resolved_model(&self, claim: &Claim, mut turn: Turn) -> Result<Turn, Error> {
        self.pool()?;
        let model = self
            .names
            .resolve(&turn.model, self.catalogue(claim).await?)?;
        turn.model = ModelName::new(model);
        Ok(turn)
    }

    async fn start(&self, claim: Claim, gate: Gate, turn: Turn) -> Result<RunningTurn, Error> {
        let mut turn = self.with_resolved_model(&claim, turn).await?;
        let (forced, turn) = in_place(turn.bytes(), || {
            let forced = self.rules.adapt(&mut turn);
            (
                forced,
                WorkerTurn {
                    gate,
                    ..WorkerTurn::new(turn)
                },
            )
        });
        let model = turn.turn.model.to_string();
        self.check_breaker(&model)?;
        let pool = self.pool()?.clone();
        let lease = pool.lease(&claim).await?;
        // Checked again: calls may have begun to fail during the wait for a worker.
        let pass = self.breaker.admit(&model)?;
        // The hold is recorded on disk while the worker prepares the turn.
        turn.gate.mark_arrived();
        let costs = turn.cost_meter.reader();
        let info = TurnInfo {
            has_queued: lease.has_queued(),
            ..TurnInfo::for_model(model)
        };
        let demand = forced
            .demanded
            .map(RequiredCallFilter::for_choice)
            .unwrap_or_default();
        let refused_part_names = info.refused.clone();
        let source = WorkerSource { pool, claim };
        let run = TurnRun::start(
            source,
            lease,
            turn,
            pass,
            Arc::clone(&self.rules),
            refused_part_names,
            demand,
        )
        .await?;
        let events = run.into_events();
        let events = match forced.tool {
            Some(tool) => forced_call::text_as_tool_call(events, tool),
            None => events,
        };
        Ok(RunningTurn {
            info,
            events,
            costs,
        })
    }

    /// Fails fast while the circuit breaker is open for `model`.
    fn check_breaker(&self, model: &str) -> Result<(), Error> {
        self.breaker
            .refusal(model)
            .map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    async fn count_prompt(&self, claim: Claim, turn: Turn) -> Result<u64, Error> {
        let mut turn = WorkerTurn::new(self.with_resolved_model(&claim, turn).await?);
        JsonAnswerCheck::apply(&mut turn.turn);
        self.check_breaker(turn.turn.model.as_str())?;
        let mut lease = self.pool()?.lease(&claim).await?;
        let gone = || Failure::new(FailureKind::Crashed, "The worker is gone.");
        let counted = lease.worker().ok_or_else(gone)?.count_tokens(&turn).await;
        if counted.as_ref().is_err_and(Failure::is_workers_fault) {
            lease.mark_broken();
        }
        Ok(counted?)
    }

    async fn fit_of(&self, claim: Claim, turn: &Turn) -> Result<ModelFit, Error> {
        let model = self
            .names
            .resolve(&turn.model, self.catalogue(&claim).await?)?;
        in_place(turn.bytes(), || {
            let left_out = self.rules.left_out(turn, &model)?;
            let repaired = self.rules.repaired(turn, &model);
            let runs = self.rules.max_runs(turn, &model);
            Ok(ModelFit {
                model,
                left_out,
                repaired,
                runs,
            })
        })
    }

    async fn look_up(&self, name: ModelName) -> Result<ModelCard, Error> {
        let resolves_to = self
            .names
            .resolve(&name, self.catalogue(&Claim::own()).await?)?;
        Ok(ModelCard { name, resolves_to })
    }

    async fn list(&self) -> Result<Vec<ModelCard>, Error> {
        Ok(self.names.cards(self.catalogue(&Claim::own()).await?))
    }
}

impl<L: Launcher> Turns for Gateway<L>
where
    L::Worker: TurnWorker,
{
    fn preflight(&self, caller: &Caller, turn: &Turn) -> Result<(), Error> {
        let pool = self.pool()?;
        // Until the first worker has reported the models, `run` checks the name.
        if let Some(models) = self.models.get() {
            self.check_breaker(&self.names.resolve(&turn.model, models)?)?;
        }
        Ok(pool.check_room(&claim_of(caller))?)
    }

    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.run_gated(Gate::default(), caller, turn)
    }

    fn run_gated(
        &self,
        gate: Gate,
        caller: Caller,
        turn: Turn,
    ) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        Box::pin(self.start(claim_of(&caller), gate, turn))
    }

    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        // The caller is kept to the end: the permit of its request is dropped with it.
        Box::pin(async move { self.count_prompt(claim_of(&caller), turn).await })
    }

    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        Box::pin(async move {
            Ok(self
                .with_resolved_model(&claim_of(&caller), turn)
                .await?
                .model)
        })
    }

    fn fit<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a Turn,
    ) -> BoxFuture<'a, Result<ModelFit, Error>> {
        Box::pin(self.fit_of(claim_of(caller), turn))
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        Box::pin(self.look_up(name))
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        Box::pin(self.list())
    }

    fn readiness(&self) -> Readiness {
        let pool = match &self.workers {
            SignInState::SignedIn(pool) => pool,
            SignInState::Missing(what) => {
                return Readiness {
                    problems: vec![what.clone()],
                    ..Readiness::default()
                };
            }
        };
        let stats = pool.stats();
        let mut problems: Vec<String> = stats.last_failure.into_iter().collect();
        problems.extend(self.breaker.outage().map(|refusal| refusal.message));
        // Without prewarming, the first request starts a worker.
        if problems.is_empty()
            && stats.starts_ahead
            && stats.idle + stats.busy + stats.resetting == 0
        {
            problems.push("The first worker is still being started.".to_owned());
        }
        let workers = WorkerCounts {
            max: stats.max,
            starting: stats.starting,
            idle: stats.idle,
            busy: stats.busy,
            resetting: stats.resetting,
        };
        let circuits = self.breaker.levels();
        let now = unix_now();
        let sign_in = SignInLevel {
            name: self.facts.name.clone(),
            kind: self.facts.kind,
            problems: problems.clone(),
            workers,
            waiting: stats.waiting,
            circuits: circuits.clone(),
            refused_until: self.facts.plan.refused_until(now),
            windows: self.facts.plan.windows(now),
        };
        Readiness {
            problems,
            workers,
            waiting: stats.waiting,
            circuits,
            sign_ins: vec![sign_in],
        }
    }
}

/// Builds the claim of `caller` on a worker; to the pool each key is a tenant.
fn claim_of(caller: &Caller) -> Claim {
    let class = if caller.in_background {
        Class::Background
    } else {
        Class::Live
    };
    Claim {
        tenant: Tenant::new(&caller.name, caller.weight()),
        class,
        span: SpanScope::from_trace(&caller.trace).cloned(),
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy { workers, reason } => Self::busy(workers, reason),
            PoolError::Unavailable {
                reason,
                retry_after,
            } => Self::Unavailable {
                reason,
                retry_after,
            },
            PoolError::Closed => Self::ShuttingDown,
        }
    }
}
