//! Gateway over the workers of the server's sign-ins.

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
use crate::engine::pool::Claim;
use crate::engine::pool::Class;
use crate::engine::pool::Error as PoolError;
use crate::engine::pool::Launcher;
use crate::engine::pool::Lease;
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
use super::sign_ins::Refusals;
use super::sign_ins::ServingSignIn;
use super::sign_ins::SignInOrder;
use super::sign_ins::SignInPool;
use super::sign_ins::SignIns;
use super::sign_ins::SourceOrder;
use super::sign_ins::WorkerSource;
use super::sign_ins::lease_to_count;
use super::{Error, ModelCard, ModelFit, Readiness, RunningTurn, TurnInfo, Turns};

/// Sign-in of a server that has at most one.
#[derive(Debug)]
pub enum SignInState<L: Launcher> {
    /// Signed in: workers can be started.
    SignedIn(Pool<L>),
    /// Missing sign-in; the text says what to set.
    Missing(String),
}

/// Runs turns on the workers of the server's sign-ins.
pub struct Gateway<L: Launcher> {
    sign_ins: SignIns<L>,
    names: ModelNames,
    rules: Arc<ModelRules>,
    /// Models that the first worker reported, by which names are resolved.
    models: OnceLock<Arc<[Model]>>,
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
        match workers {
            SignInState::SignedIn(pool) => {
                Self::with_sign_ins(vec![SignInPool::only(pool, breaker)], names, rules)
            }
            SignInState::Missing(what) => Self::build(SignIns::missing(what), names, rules),
        }
    }

    /// Creates a gateway over the workers of `sign_ins`, of which there is at least one.
    pub fn with_sign_ins(
        sign_ins: Vec<SignInPool<L>>,
        names: ModelNames,
        rules: ModelRules,
    ) -> Self {
        Self::build(SignIns::new(sign_ins), names, rules)
    }

    /// Sets the keys and projects whose answers tell what is used of a plan; `*` for all.
    #[must_use]
    pub fn with_plan_readers(self, readers: Vec<String>) -> Self {
        Self {
            sign_ins: self.sign_ins.with_plan_readers(readers),
            ..self
        }
    }

    fn build(sign_ins: SignIns<L>, names: ModelNames, rules: ModelRules) -> Self {
        Self {
            sign_ins,
            names,
            rules: Arc::new(rules),
            models: OnceLock::new(),
        }
    }

    /// Returns the catalogue; the first requests wait for a worker of one of `allowed` to ask.
    async fn catalogue(
        &self,
        claim: &Claim,
        allowed: &SignInOrder<L>,
    ) -> Result<Arc<[Model]>, Error> {
        if let Some(models) = self.models.get() {
            return Ok(Arc::clone(models));
        }
        let mut by_order = allowed.clone();
        // Stable: the ids of models are those of the same sign-in after each start.
        by_order.sort_by_key(|sign_in| sign_in.usage.order);
        let lease = lease_of_any(claim, &by_order).await?;
        let Some(worker) = lease.inspect() else {
            return Ok(Arc::default());
        };
        let models = self.models.get_or_init(|| worker.models().into());
        Ok(Arc::clone(models))
    }

    /// Replaces the model of the turn by its resolved id. Returns the catalogue with it.
    async fn with_resolved_model(
        &self,
        claim: &Claim,
        allowed: &SignInOrder<L>,
        mut turn: Turn,
    ) -> Result<(Turn, Arc<[Model]>), Error> {
        let catalogue = self.catalogue(claim, allowed).await?;
        let model = self.names.resolve(&turn.model, &catalogue)?;
        turn.model = ModelName::new(model);
        Ok((turn, catalogue))
    }

    async fn start(
        &self,
        claim: Claim,
        allowed: Result<SignInOrder<L>, Error>,
        serving: ServingSignIn,
        gate: Gate,
        turn: Turn,
    ) -> Result<RunningTurn, Error> {
        let allowed = allowed?;
        let (mut turn, catalogue) = self.with_resolved_model(&claim, &allowed, turn).await?;
        let sign_ins = self.sign_ins.order(allowed, claim.tenant.id(), &turn)?;
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
        let order = SourceOrder {
            sign_ins,
            claim,
            model: model.clone(),
            catalogue,
            serving: serving.clone(),
        };
        let (source, admitted) = WorkerSource::open(order).await?;
        // The hold is recorded on disk while the worker prepares the turn.
        turn.gate.mark_arrived();
        let costs = turn.cost_meter.reader();
        let info = TurnInfo {
            has_queued: admitted.lease.has_queued(),
            sign_in: serving,
            ..TurnInfo::for_model(model)
        };
        let demand = forced
            .demanded
            .map(RequiredCallFilter::for_choice)
            .unwrap_or_default();
        let refused_part_names = info.refused.clone();
        let run = TurnRun::start(
            source,
            admitted,
            turn,
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

    async fn count_prompt(
        &self,
        claim: Claim,
        allowed: SignInOrder<L>,
        turn: Turn,
    ) -> Result<u64, Error> {
        let (turn, catalogue) = self.with_resolved_model(&claim, &allowed, turn).await?;
        let sign_ins = self.sign_ins.order(allowed, claim.tenant.id(), &turn)?;
        let mut turn = WorkerTurn::new(turn);
        JsonAnswerCheck::apply(&mut turn.turn);
        let order = SourceOrder {
            sign_ins,
            claim,
            model: turn.turn.model.to_string(),
            catalogue,
            serving: ServingSignIn::default(),
        };
        let (mut lease, model) = lease_to_count(order).await?;
        turn.turn.model = model;
        let gone = || Failure::new(FailureKind::Crashed, "The worker is gone.");
        let counted = lease.worker().ok_or_else(gone)?.count_tokens(&turn).await;
        if counted.as_ref().is_err_and(Failure::is_workers_fault) {
            lease.mark_broken();
        }
        Ok(counted?)
    }

    async fn fit_of(
        &self,
        claim: Claim,
        allowed: SignInOrder<L>,
        turn: &Turn,
    ) -> Result<ModelFit, Error> {
        let catalogue = self.catalogue(&claim, &allowed).await?;
        let model = self.names.resolve(&turn.model, &catalogue)?;
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
        let catalogue = self.catalogue(&Claim::own(), self.sign_ins.all()?).await?;
        let resolves_to = self.names.resolve(&name, &catalogue)?;
        Ok(ModelCard { name, resolves_to })
    }

    async fn list(&self) -> Result<Vec<ModelCard>, Error> {
        let catalogue = self.catalogue(&Claim::own(), self.sign_ins.all()?).await?;
        Ok(self.names.cards(&catalogue))
    }
}

impl<L: Launcher> Turns for Gateway<L>
where
    L::Worker: TurnWorker,
{
    fn preflight(&self, caller: &Caller, turn: &Turn) -> Result<(), Error> {
        let mut allowed = self.sign_ins.for_caller(caller)?;
        // Until the first worker has reported the models, `run` checks the name.
        let model = match self.models.get() {
            Some(models) => Some(self.names.resolve(&turn.model, models)?),
            None => None,
        };
        if let Some(model) = &model {
            allowed = SignIns::for_model(allowed, model)?;
        }
        let claim = claim_of(caller);
        let mut refusals = Refusals::default();
        for sign_in in allowed {
            match sign_in.check(model.as_deref(), &claim) {
                Ok(()) => return Ok(()),
                Err(error) => refusals.add(error),
            }
        }
        Err(refusals.into_error())
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
        let allowed = self.sign_ins.for_caller(&caller);
        let serving = if self.sign_ins.tells_plan_to(&caller) {
            ServingSignIn::with_plan()
        } else {
            ServingSignIn::default()
        };
        Box::pin(self.start(claim_of(&caller), allowed, serving, gate, turn))
    }

    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        // The caller is kept to the end: the permit of its request is dropped with it.
        Box::pin(async move {
            let allowed = self.sign_ins.for_caller(&caller)?;
            self.count_prompt(claim_of(&caller), allowed, turn).await
        })
    }

    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        Box::pin(async move {
            let allowed = self.sign_ins.for_caller(&caller)?;
            let claim = claim_of(&caller);
            let (turn, _) = self.with_resolved_model(&claim, &allowed, turn).await?;
            Ok(turn.model)
        })
    }

    fn fit<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a Turn,
    ) -> BoxFuture<'a, Result<ModelFit, Error>> {
        Box::pin(async move {
            let allowed = self.sign_ins.for_caller(caller)?;
            self.fit_of(claim_of(caller), allowed, turn).await
        })
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        Box::pin(self.look_up(name))
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        Box::pin(self.list())
    }

    fn sign_in_variant(&self, caller: &Caller) -> u64 {
        self.sign_ins.variant_for(caller)
    }

    fn readiness(&self) -> Readiness {
        self.sign_ins.readiness()
    }
}

/// Leases a worker of the first of `sign_ins` that has one.
///
/// # Errors
/// The most useful of their errors.
async fn lease_of_any<L: Launcher>(
    claim: &Claim,
    sign_ins: &SignInOrder<L>,
) -> Result<Lease<L>, Error> {
    let mut refusals = Refusals::default();
    for sign_in in sign_ins {
        match sign_in.pool.lease(claim).await {
            Ok(lease) => return Ok(lease),
            Err(error) => refusals.add(error.into()),
        }
    }
    Err(refusals.into_error())
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
