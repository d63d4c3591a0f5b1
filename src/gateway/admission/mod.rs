//! What is decided of a turn before it asks for a worker: its model, where that is left open, and whether the limits of its
//! caller let it in.

mod spending;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Error;
use super::ModelCard;
use super::Readiness;
use super::RunningTurn;
use super::Told;
use super::Turns;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::limits::Limits;
use crate::pricing::Prices;
use crate::routing::BudgetState;
use crate::routing::Choice;
use crate::routing::Router;

use spending::Spending;

/// The name of a model that leaves the choice to the server.
const AUTO: &str = "auto";

/// Turns that were let in.
pub struct Admission {
    turns: Arc<dyn Turns>,
    router: Arc<Router>,
    prices: Arc<Prices>,
    limits: Limits,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admission").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Admission {
    /// Lets turns in to `turns`: `router` chooses their models where callers do not, `prices` says what they may take, and
    /// `limits` whether they may.
    pub fn new(turns: Arc<dyn Turns>, router: Arc<Router>, prices: Arc<Prices>, limits: Limits) -> Self {
        Self { turns, router, prices, limits }
    }

    async fn admit(&self, caller: Caller, mut turn: Turn) -> Result<RunningTurn, Error> {
        let route = self.route(&mut turn);
        let estimate = self.prices.estimate(turn.model.as_str(), &turn);
        let mut permit = self.limits.admit(&caller, estimate.tokens)?;
        let limits = permit.state();
        match self.turns.run(caller, turn).await {
            Ok(running) => {
                let told = Told { route, limits, ..running.told };
                Ok(RunningTurn { told, events: Box::pin(Spending::new(running.events, permit)) })
            }
            Err(error) => {
                permit.settle(0);
                Err(error)
            }
        }
    }

    /// Gives `turn` a model, if its caller has left that open.
    fn route(&self, turn: &mut Turn) -> Option<Choice> {
        if turn.model.as_str() != AUTO {
            return None;
        }
        let choice = self.router.route(turn, BudgetState::default());
        tracing::info!(model = %choice.model, rule = choice.rule.name(), "a model was chosen");
        turn.model = choice.model.clone();
        Some(choice)
    }
}

impl Turns for Admission {
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.admit(caller, turn).boxed()
    }

    fn count_tokens(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        self.route(&mut turn);
        self.turns.count_tokens(caller, turn)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        let listed = async {
            let mut cards = self.turns.models().await?;
            cards.push(ModelCard { name: ModelName::new(AUTO), resolves_to: AUTO.to_owned() });
            Ok(cards)
        };
        listed.boxed()
    }

    fn readiness(&self) -> Readiness {
        self.turns.readiness()
    }
}
