//! The pipeline as [`Turns`].

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::PipelineSteps;
use super::admission::AUTO_MODEL;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::RequestPermit;
use crate::domain::Turn;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::ModelFit;
use crate::engine::gateway::Readiness;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::Turns;
use crate::engine::routing::FallbackModel;

pub(super) const UNWRITABLE: &str = "What runs cost cannot be written down, so none is begun: the disk under server.data_dir is full, or \
                          fails. It is tried again each second.";
/// As [`UNWRITABLE`], where the records are in a Redis.
const REDIS_UNWRITABLE: &str = "What runs cost cannot be written down, so none is begun: the Redis at redis.url does not answer, has no \
                                memory left, or refuses this server. It is tried again each second.";

/// Words about a Redis that is away, while callers without a budget are served.
const REDIS_AWAY: &str = "The Redis at redis.url does not answer. Callers without a budget are served (redis.on_outage), with their share of \
                          their limits; all others are refused, and so is what needs stored records. It is tried again each second.";

impl Turns for PipelineSteps {
    fn enter(&self, caller: Caller) -> BoxFuture<'_, Result<Caller, Error>> {
        let entered = async move {
            let permit = self.admission.limits.admit_without_estimate(&caller).await;
            let permit = permit.map_err(Error::from).inspect_err(|error| {
                let (by, scope) = error.refusal_labels();
                self.admission.metrics.count_refusal(by, scope);
            })?;
            Ok(Caller {
                permit: RequestPermit::new(permit),
                ..caller
            })
        };
        entered.boxed()
    }

    fn enter_again(&self, caller: Caller) -> BoxFuture<'_, Result<Caller, Error>> {
        let entered = async move {
            let permit = self.admission.limits.admit_counted(&caller).await?;
            Ok(Caller {
                permit: RequestPermit::new(permit),
                ..caller
            })
        };
        entered.boxed()
    }

    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.measure(caller, turn).boxed()
    }

    fn count_tokens(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        let counted = async move {
            // The prompt goes upstream, so hooks are called before.
            let hooks = self.hooks.for_turn(&caller, &turn);
            let counted = async {
                let memory = self.choose_model(&caller, &mut turn, hooks.as_ref());
                let _memory = memory.await?;
                self.gateway.count_tokens(caller, turn).await
            };
            match counted.await {
                Ok(tokens) => Ok(tokens),
                Err(error) => Err(self.hooks.report(hooks.as_ref(), error).await),
            }
        };
        counted.boxed()
    }

    fn resolve(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        let resolved = async move {
            let _memory = self.choose_model(&caller, &mut turn, None).await?;
            self.gateway.resolve(caller, turn).await
        };
        resolved.boxed()
    }

    fn fit<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a Turn,
    ) -> BoxFuture<'a, Result<ModelFit, Error>> {
        self.gateway.fit(caller, turn)
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        if name.as_str() == AUTO_MODEL {
            return std::future::ready(Ok(auto_model_card())).boxed();
        }
        self.gateway.model(name)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        let listed = async {
            let mut cards = self.gateway.models().await?;
            cards.push(auto_model_card());
            Ok(cards)
        };
        listed.boxed()
    }

    fn fallback_refusal(&self, caller: &Caller, fallback: &FallbackModel) -> Option<Error> {
        self.refusal_of(caller, fallback)
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = self.gateway.readiness();
        if self.admission.ledger.is_serving_outage() {
            readiness.degraded.push(REDIS_AWAY.to_owned());
        } else if self.admission.ledger.is_failing() {
            let problem = if self.admission.ledger.is_shared() {
                REDIS_UNWRITABLE
            } else {
                UNWRITABLE
            };
            readiness.problems.push(problem.to_owned());
        }
        readiness
    }
}

/// Returns the card of automatic model selection.
fn auto_model_card() -> ModelCard {
    ModelCard {
        name: ModelName::new(AUTO_MODEL),
        resolves_to: AUTO_MODEL.to_owned(),
    }
}
