//! Plan of a turn's fallbacks: the models that may answer in place of its own.

use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::time::Duration;

use tokio::time::Instant;

use super::PipelineSteps;
use super::TurnEstimate;
use super::try_place::TryPlace;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::FailureKind;
use crate::domain::LogText;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::engine::cache::KeepOut;
use crate::engine::gateway::Error;
use crate::engine::gateway::FallbackFacts;
use crate::engine::gateway::ModelFit;
use crate::engine::gateway::RefusedPartNames;
use crate::engine::gateway::TakenFallback;
use crate::engine::gateway::Turns;
use crate::engine::routing::FallbackCause;
use crate::engine::routing::FallbackConfig;

/// Models that may still answer a turn in place of its own, and the bounds of trying them. The
/// default has none.
#[derive(Debug, Clone, Default)]
pub(super) struct FallbackPlan {
    models: Vec<PlannedModel>,
    bounds: Option<FallbackBounds>,
    /// Model that the turn names.
    asked_model: String,
    /// Fallback that was taken, for the caller.
    pub(super) taken: TakenFallback,
    /// Keeps the answer of another model out of the cache.
    pub(super) keep_out: KeepOut,
    /// Place in which the present model runs.
    pub(super) place: TryPlace,
}

/// Bounds in time of the fallbacks of a turn.
#[derive(Debug, Clone, Copy)]
struct FallbackBounds {
    /// Time after which no further model is tried.
    ends_at: Instant,
    /// Maximum wait for the first event of a model.
    timeout: Duration,
}

/// Model that may answer, adapted to the turn.
#[derive(Debug, Clone)]
pub(super) struct PlannedModel {
    name: ModelName,
    fit: ModelFit,
    causes: Vec<FallbackCause>,
    place: TryPlace,
    /// Estimate of what it takes at most.
    amount: Amount,
}

/// Plan of a turn with the fit of the model that is tried first, and the estimate of all tries that
/// are paid.
pub(super) struct PlannedTurn {
    pub(super) fit: ModelFit,
    pub(super) estimate: TurnEstimate,
    pub(super) plan: FallbackPlan,
}

impl PipelineSteps {
    /// Plans the models that answer `turn`. If a budget of `caller` is nearly spent, and a rule is for
    /// that, another model takes the place of the turn's at once. The estimate covers each model that
    /// may come to answer under the one hold, and all of them together if tries are paid that are
    /// given up.
    pub(super) async fn plan_models(
        &self,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<PlannedTurn, Error> {
        let mut fit = self.gateway.fit(caller, turn).await?;
        let config = self.admission.router.fallbacks();
        let mut plan = self.usable_models(config, caller, turn).await;
        let mut own_amount = None;
        if plan.is_for(FallbackCause::Budget) {
            let budget = self.admission.ledger.reader().budget_state(caller).await?;
            let is_nearly_spent = |percent: u64| percent >= config.budget_percent;
            let next = if budget.percent_used.is_some_and(is_nearly_spent) {
                plan.take(FallbackCause::Budget)
            } else {
                None
            };
            if let Some(next) = next {
                // The cache and all that follows see the other model alone.
                turn.model = next.name;
                fit = next.fit;
                own_amount = Some(next.amount);
                plan.keep_out = KeepOut::default();
            }
        }
        let mut estimate = self.admission.estimate(turn, &fit);
        if let Some(amount) = own_amount {
            estimate.amount = amount;
        }
        let is_paid_again = plan.may_pay_for_several();
        for model in &plan.models {
            estimate.amount = if is_paid_again {
                estimate.amount.plus(model.amount)
            } else {
                estimate.amount.merge_max(model.amount)
            };
        }
        Ok(PlannedTurn {
            fit,
            estimate,
            plan,
        })
    }

    /// Returns the plan with the models that `caller` may use and that can answer `turn`, which is left
    /// as it was.
    async fn usable_models(
        &self,
        config: &FallbackConfig,
        caller: &Caller,
        turn: &mut Turn,
    ) -> FallbackPlan {
        if caller.refuses_fallbacks || config.list.is_empty() {
            return FallbackPlan::default();
        }
        let allowed = config.models_for(&turn.model, &caller.name).into_iter();
        let allowed = allowed.filter(|one| caller.grant.allows_model(one.model.as_str()));
        let mut models = Vec::new();
        let own = turn.model.clone();
        for candidate in allowed {
            // Not a clone of the turn, which may have files in it.
            turn.model = candidate.model.clone();
            if models.len() == config.max_tries {
                break;
            }
            let place = TryPlace::of(&candidate);
            match self.fit_in(&place, caller, turn).await {
                Ok((fit, amount)) => models.push(PlannedModel {
                    name: candidate.model,
                    fit,
                    causes: candidate.causes,
                    place,
                    amount,
                }),
                // The sign-in is for other keys, or the turn is for no chat: so it is meant.
                Err(error) if place != TryPlace::default() => {
                    let model = LogText(candidate.model.as_str());
                    tracing::debug!(%model, %error, "fallback model skipped");
                }
                Err(error) => {
                    let model = LogText(candidate.model.as_str());
                    tracing::warn!(%model, %error, "fallback model unusable");
                }
            }
        }
        turn.model = own;
        let now = Instant::now();
        FallbackPlan {
            models,
            asked_model: turn.model.to_string(),
            bounds: Some(FallbackBounds {
                ends_at: now + config.max_duration,
                timeout: config.timeout,
            }),
            ..FallbackPlan::default()
        }
    }
}

impl FallbackPlan {
    /// True if no further model may be tried.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// True if a further model may be tried for `cause`.
    pub(super) fn is_for(&self, cause: FallbackCause) -> bool {
        self.models
            .iter()
            .any(|model| model.causes.contains(&cause))
    }

    /// True if a try may be given up that costs something: a late one, one whose model refuses, or one
    /// whose answer another server breaks off. Calls that upstream turns away are free.
    fn may_pay_for_several(&self) -> bool {
        let places = self.models.iter().map(|model| &model.place);
        let mut before_the_last = std::iter::once(&self.place)
            .chain(places)
            .take(self.models.len());
        self.is_for(FallbackCause::Timeout)
            || self.is_for(FallbackCause::Refusal)
            || before_the_last.any(|place| place.upstream.is_some())
    }

    /// Returns what distinguishes turns with this plan in the cache from those with another one; 0 for
    /// none.
    pub(super) fn variant(&self) -> u64 {
        if self.models.is_empty() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        for model in &self.models {
            model.name.hash(&mut hasher);
            model.causes.hash(&mut hasher);
            model.place.hash(&mut hasher);
        }
        // Zero stands for no plan.
        hasher.finish().max(1)
    }

    /// Returns the time at which a model that is tried now is late; `None` if nothing follows then.
    pub(super) fn late_at(&self) -> Option<Instant> {
        let bounds = self
            .bounds
            .filter(|_| self.is_for(FallbackCause::Timeout))?;
        let late_at = Instant::now() + bounds.timeout;
        (late_at < bounds.ends_at).then_some(late_at)
    }

    /// Takes the model that answers in place of one that failed with `error`; `None` if there is none,
    /// or no time is left.
    pub(super) fn take_after(&mut self, error: &Error) -> Option<PlannedModel> {
        let own_cause = cause_of(error);
        own_cause
            .and_then(|cause| self.take(cause))
            .or_else(|| self.take(self.cause_of_place(error)?))
    }

    /// Returns the cause for which the present model was taken, if `error` is a fault of the place in
    /// which it runs: the models behind it are for that cause too.
    fn cause_of_place(&self, error: &Error) -> Option<FallbackCause> {
        let TryPlace { sign_in, upstream } = &self.place;
        let is_fault_of_place = match error {
            // Claude has taken, or would have taken, what another server refuses.
            Error::Failed(_) if upstream.is_some() => true,
            Error::Failed(failure) => sign_in.is_some() && failure.kind == FailureKind::SignIn,
            Error::NotSignedIn(_) | Error::Unavailable { .. } => sign_in.is_some(),
            _ => false,
        };
        let facts = self.taken.facts().filter(|_| is_fault_of_place)?;
        Some(facts.cause)
    }

    /// Takes the next model for `cause`, and records that it is to answer.
    pub(super) fn take(&mut self, cause: FallbackCause) -> Option<PlannedModel> {
        let bounds = self.bounds?;
        if Instant::now() >= bounds.ends_at {
            return None;
        }
        let is_meant = |model: &PlannedModel| model.causes.contains(&cause);
        let next = self.models.remove(self.models.iter().position(is_meant)?);
        self.place = next.place.clone();
        let model = LogText(&next.fit.model);
        tracing::info!(%model, cause = cause.name(), "turn falls back to another model");
        self.taken.record(FallbackFacts {
            asked_model: self.asked_model.clone(),
            model: next.fit.model.clone(),
            cause,
            upstream: next.place.upstream.as_deref().map(str::to_owned),
            sign_in: next.place.sign_in.as_deref().map(str::to_owned),
            left_out: next.fit.left_out.clone(),
            repaired: next.fit.repaired.clone(),
            refused: RefusedPartNames::default(),
        });
        self.keep_out.set();
        Some(next)
    }

    /// Checks, without waiting, if `turn` would be refused now. The next models take its place as far
    /// as they may.
    ///
    /// # Errors
    /// The error of the last model.
    pub(super) fn preflight(
        &mut self,
        gateway: &dyn Turns,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<(), Error> {
        loop {
            // The queue of another server is not known.
            if self.place.upstream.is_some() {
                return Ok(());
            }
            let checked = match &self.place.sign_in {
                None => gateway.preflight(caller, turn),
                Some(_) => gateway.preflight(&self.place.narrow(caller), turn),
            };
            let Err(error) = checked else {
                return Ok(());
            };
            let Some(next) = self.take_after(&error) else {
                return Err(error);
            };
            next.apply(turn);
        }
    }
}

impl PlannedModel {
    /// Makes the model that of `turn`.
    pub(super) fn apply(self, turn: &mut Turn) {
        turn.model = self.name;
    }
}

/// Returns the cause of a fallback that `error` is.
fn cause_of(error: &Error) -> Option<FallbackCause> {
    let Error::Failed(failure) = error else {
        return None;
    };
    match failure.kind {
        FailureKind::Overloaded => Some(FallbackCause::Overload),
        FailureKind::RateLimited => Some(FallbackCause::Limit),
        FailureKind::ContextTooLong => Some(FallbackCause::Context),
        FailureKind::TimedOut => Some(FallbackCause::Timeout),
        FailureKind::SignIn
        | FailureKind::UnknownModel
        | FailureKind::InvalidRequest
        | FailureKind::Crashed
        | FailureKind::Upstream => None,
    }
}
