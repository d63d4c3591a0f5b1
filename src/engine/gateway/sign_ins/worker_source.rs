//! Source of the workers of one turn: its sign-in, and those that it may go on with.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::FailureKind;
use crate::domain::Model;
use crate::domain::ModelName;
use crate::engine::gateway::Error;
use crate::engine::gateway::LONG_CONTEXT_SUFFIX;
use crate::engine::gateway::breaker::BreakerPass;
use crate::engine::pool;
use crate::engine::pool::Claim;
use crate::engine::pool::Launcher;
use crate::engine::pool::Lease;
use crate::engine::worker::TurnWorker;

use super::Refusals;
use super::ServingSignIn;
use super::SignInOrder;
use super::SignInPool;

/// Alias of the model that the CLI prefers, which is another one for each kind of sign-in.
const DEFAULT_ALIAS: &str = "default";

/// Order for a worker: its requirements, and the sign-ins that may lend it.
pub(in crate::engine::gateway) struct SourceOrder<L: Launcher> {
    /// Sign-ins, the one to begin with first.
    pub(in crate::engine::gateway) sign_ins: SignInOrder<L>,
    pub(in crate::engine::gateway) claim: Claim,
    /// Id of the model in `catalogue`.
    pub(in crate::engine::gateway) model: String,
    /// Models by which the id was resolved.
    pub(in crate::engine::gateway) catalogue: Arc<[Model]>,
    /// Name of the sign-in that the turn is at.
    pub(in crate::engine::gateway) serving: ServingSignIn,
}

/// Source of workers for one turn.
pub(in crate::engine::gateway) struct WorkerSource<L: Launcher> {
    current: Arc<SignInPool<L>>,
    /// Sign-ins that were not asked yet.
    further: VecDeque<Arc<SignInPool<L>>>,
    /// Sign-ins whose circuit breaker held the turn back.
    passed_over: VecDeque<Arc<SignInPool<L>>>,
    claim: Claim,
    model: String,
    catalogue: Arc<[Model]>,
    serving: ServingSignIn,
    /// Errors of the sign-ins that were asked.
    refusals: Refusals,
}

/// Worker for a turn that its sign-in's circuit breaker has admitted.
pub(in crate::engine::gateway) struct AdmittedLease<L: Launcher> {
    pub(in crate::engine::gateway) lease: Lease<L>,
    pub(in crate::engine::gateway) pass: BreakerPass,
    /// Id of the turn's model with this sign-in.
    pub(in crate::engine::gateway) model: ModelName,
}

impl<L: Launcher> WorkerSource<L>
where
    L::Worker: TurnWorker,
{
    /// Leases a worker of the first sign-in that has one for the turn, and returns it with the
    /// source of the further ones.
    ///
    /// # Errors
    /// The most useful error of the sign-ins if none has a worker.
    pub(in crate::engine::gateway) async fn open(
        order: SourceOrder<L>,
    ) -> Result<(Self, AdmittedLease<L>), Error> {
        let further = VecDeque::from(order.sign_ins);
        let Some(current) = further.front().cloned() else {
            return Err(Error::ShuttingDown);
        };
        let mut source = Self {
            current,
            further,
            passed_over: VecDeque::new(),
            claim: order.claim,
            model: order.model,
            catalogue: order.catalogue,
            serving: order.serving,
            refusals: Refusals::default(),
        };
        let admitted = source.lease_of_next().await?;
        Ok((source, admitted))
    }

    /// Leases a worker of the sign-in that the turn is at.
    pub(in crate::engine::gateway) async fn lease(&self) -> Result<Lease<L>, pool::Error> {
        self.current.pool.lease(&self.claim).await
    }

    /// True if there are sign-ins that have not had the turn.
    pub(in crate::engine::gateway) fn has_further(&self) -> bool {
        !self.further.is_empty() || !self.passed_over.is_empty()
    }

    /// Leases a worker of the next sign-in that has one, for a turn that failed with `error`.
    ///
    /// # Errors
    /// The most useful error so far if none has a worker.
    pub(in crate::engine::gateway) async fn move_on(
        &mut self,
        error: Error,
    ) -> Result<AdmittedLease<L>, Error> {
        let from = self.current.facts.name.clone();
        let cause = error.to_string();
        self.refusals.add(error);
        let admitted = self.lease_of_next().await?;
        let to = &self.current.facts.name;
        tracing::info!(sign_in = %from, next = %to, error = %cause, "turn moved to another sign-in");
        Ok(admitted)
    }

    /// Returns the most useful error of a turn that has failed with `error` at last.
    pub(in crate::engine::gateway) fn last_error(&mut self, error: Error) -> Error {
        self.refusals.add(error);
        self.take_error()
    }

    fn take_error(&mut self) -> Error {
        std::mem::take(&mut self.refusals).into_error()
    }

    /// Forgets the errors so far, since the answer has begun: what fails it now is told itself.
    pub(in crate::engine::gateway) fn forget_errors(&mut self) {
        self.refusals = Refusals::default();
    }

    /// Leases a worker of the next sign-in that has one: of those that were not asked yet, then of those
    /// that the turn was passed over for.
    ///
    /// # Errors
    /// The most useful error so far if none has a worker.
    async fn lease_of_next(&mut self) -> Result<AdmittedLease<L>, Error> {
        let mut admitted = self.ask_further().await;
        if admitted.is_none() {
            // They may serve again by now: the turn may have waited long for a worker of another one.
            self.further = std::mem::take(&mut self.passed_over);
            admitted = self.ask_further().await;
            self.passed_over.clear();
        }
        admitted.ok_or_else(|| self.take_error())
    }

    /// Leases a worker of the first of the further sign-ins that has one.
    async fn ask_further(&mut self) -> Option<AdmittedLease<L>> {
        while let Some(next) = self.further.pop_front() {
            if let Some(refusal) = next.breaker.refusal(&self.model) {
                self.refusals.add(refusal.into());
                self.passed_over.push_back(next);
                continue;
            }
            match admitted_lease(&next, &self.claim, &self.model, &self.catalogue).await {
                Ok(admitted) => {
                    self.serving.set(next.shown_name.clone());
                    self.serving.set_plan(&next.facts.plan);
                    self.current = next;
                    return Some(admitted);
                }
                Err(error) => self.refusals.add(error),
            }
        }
        None
    }
}

/// Leases a worker of the first sign-in that has one, to count the tokens of a turn. Returns the id
/// of its model with it.
///
/// # Errors
/// The most useful error of the sign-ins if none has a worker.
pub(in crate::engine::gateway) async fn lease_to_count<L: Launcher>(
    order: SourceOrder<L>,
) -> Result<(Lease<L>, ModelName), Error>
where
    L::Worker: TurnWorker,
{
    let mut refusals = Refusals::default();
    for sign_in in order.sign_ins {
        if let Some(refusal) = sign_in.breaker.refusal(&order.model) {
            refusals.add(refusal.into());
            continue;
        }
        match sign_in.pool.lease(&order.claim).await {
            Ok(lease) => {
                let model = own_id(&lease, &order.model, &order.catalogue);
                return Ok((lease, model));
            }
            Err(error) => refusals.add(error.into()),
        }
    }
    Err(refusals.into_error())
}

/// Leases a worker of `sign_in` for a turn of `model`, which its circuit breaker has to admit still.
async fn admitted_lease<L: Launcher>(
    sign_in: &SignInPool<L>,
    claim: &Claim,
    model: &str,
    catalogue: &[Model],
) -> Result<AdmittedLease<L>, Error>
where
    L::Worker: TurnWorker,
{
    let lease = sign_in.pool.lease(claim).await?;
    // Calls may have begun to fail during the wait for a worker.
    let pass = sign_in.breaker.admit(model)?;
    let model = own_id(&lease, model, catalogue);
    Ok(AdmittedLease { lease, pass, model })
}

/// Returns the id of `model` for the worker of `lease`.
fn own_id<L: Launcher>(lease: &Lease<L>, model: &str, catalogue: &[Model]) -> ModelName
where
    L::Worker: TurnWorker,
{
    let own = lease.inspect().map_or(&[][..], TurnWorker::models);
    ModelName::new(translate(model, catalogue, own))
}

/// Returns the id by which a sign-in with the models `own` knows `model` of `catalogue`: clouds have
/// other ids for the same alias.
fn translate(model: &str, catalogue: &[Model], own: &[Model]) -> String {
    let (id, context) = match model.strip_suffix(LONG_CONTEXT_SUFFIX) {
        Some(id) => (id, LONG_CONTEXT_SUFFIX),
        None => (model, ""),
    };
    if own.iter().any(|known| known.id == id) {
        return model.to_owned();
    }
    let mut aliases = catalogue
        .iter()
        .filter(|known| known.id == id && known.alias != DEFAULT_ALIAS);
    let own_id = aliases.find_map(|known| own.iter().find(|own| own.alias == known.alias));
    own_id.map_or_else(
        || model.to_owned(),
        |known| format!("{}{context}", known.id),
    )
}

/// True if another sign-in may answer a turn that failed in this way before its answer began.
pub(in crate::engine::gateway) fn may_another_serve(kind: FailureKind) -> bool {
    match kind {
        FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::SignIn
        | FailureKind::Upstream
        | FailureKind::UnknownModel
        | FailureKind::Crashed => true,
        // The prompt may be upstream, or be refused by all.
        FailureKind::TimedOut | FailureKind::ContextTooLong | FailureKind::InvalidRequest => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(alias: &str, id: &str) -> Model {
        Model {
            alias: alias.to_owned(),
            id: id.to_owned(),
            display_name: String::new(),
        }
    }

    #[test]
    fn model_goes_by_the_id_that_the_sign_in_knows() {
        let catalogue = [model("haiku", "claude-haiku-5-5")];
        let cloud = [model("haiku", "us.anthropic.claude-haiku-5-5-v1:0")];
        let id = "claude-haiku-5-5";
        assert_eq!(translate(id, &catalogue, &cloud), cloud[0].id);
        assert_eq!(translate(id, &catalogue, &catalogue), id);
        assert_eq!(translate(id, &catalogue, &[]), id);
        assert_eq!(translate("claude-new", &catalogue, &cloud), "claude-new");
        let long = "claude-haiku-5-5[1m]";
        assert_eq!(
            translate(long, &catalogue, &cloud),
            "us.anthropic.claude-haiku-5-5-v1:0[1m]"
        );
        assert_eq!(translate(long, &catalogue, &catalogue), long);
    }

    #[test]
    fn model_is_never_replaced_by_the_one_that_another_sign_in_prefers() {
        let catalogue = [
            model("default", "claude-opus-5-5"),
            model("opus", "claude-opus-5-5"),
        ];
        let cloud = [
            model("default", "us.sonnet-v1:0"),
            model("opus", "us.opus-v1:0"),
        ];
        let id = "claude-opus-5-5";
        assert_eq!(translate(id, &catalogue, &cloud), "us.opus-v1:0");
        assert_eq!(translate(id, &catalogue, &cloud[..1]), id);
    }
}
