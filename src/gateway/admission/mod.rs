//! What is decided of a turn before it asks for a worker: whether its caller may name its model, which one it is where that is
//! left open, whether limits and budgets let it in, and whether its answer is known already.

mod account;
mod charging;
mod server_tools;
mod spending;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::OnceLock;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::AnswerCache;
use super::CacheStatus;
use super::Error;
use super::Fit;
use super::ModelCard;
use super::Readiness;
use super::RunningTurn;
use super::Told;
use super::TurnStream;
use super::Turns;
use crate::cache::Lookup;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::InLog;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::ledger;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::limits::Permit;
use crate::pricing::Prices;
use crate::routing::Choice;
use crate::routing::Router;

use account::Account;
use charging::Charging;
use spending::Meter;
use spending::Spending;

const UNWRITABLE: &str = "What runs cost cannot be written down, so none is begun: the disk under server.data_dir is full, or \
                          fails. It is tried again each second.";

/// The name of a model that leaves the choice to the server.
const AUTO: &str = "auto";

/// By what turns are let in.
pub struct Rules {
    /// Chooses models where callers do not.
    pub router: Arc<Router>,
    /// What a turn may take, and what it costs where its worker does not say.
    pub prices: Arc<Prices>,
    /// How often and how much callers may ask.
    pub limits: Limits,
    /// What they spend, and may.
    pub ledger: Ledger,
    /// Answers that are given again.
    pub cache: AnswerCache,
    /// Most searches of the web in an answer whose turn sets no limit; none where nobody may have it searched.
    pub web_searches: Option<u32>,
    /// Whether Anthropic may run code and call MCP servers.
    pub server_tools: bool,
    /// Whether the CLI reads the calls of MCP servers.
    pub reads_mcp: bool,
    /// The betas of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
    /// Where charges that nobody waits for are seen to their end.
    pub tracker: TaskTracker,
    /// The runtime for that.
    pub runtime: Handle,
}

/// Turns that were let in.
pub struct Admission {
    turns: Arc<dyn Turns>,
    rules: Arc<Rules>,
}

/// A turn whose answer is not known.
#[derive(Clone)]
struct Order {
    turns: Arc<dyn Turns>,
    rules: Arc<Rules>,
    caller: Caller,
    turn: Turn,
    /// What it may take.
    estimate: Amount,
    /// Reads what it takes.
    meter: Meter,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rules").field("router", &self.router).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admission").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Admission {
    /// Lets turns in to `turns` by `rules`.
    pub fn new(turns: Arc<dyn Turns>, rules: Rules) -> Self {
        Self { turns, rules: Arc::new(rules) }
    }

    async fn admit(&self, caller: Caller, mut turn: Turn) -> Result<RunningTurn, Error> {
        let rules = &self.rules;
        check(&caller, &turn)?;
        let mut left_out = server_tools::check(rules, &caller, &mut turn)?;
        let route = self.route(&caller, &mut turn).await?;
        let Fit { model, left_out: refused, repaired, runs } = self.turns.fit(&turn).await?;
        left_out.extend(refused);
        let estimate = rules.prices.estimate(&model, &turn).times(runs);
        let mut permit = rules.limits.admit(&caller, estimate.tokens)?;
        let limits = permit.state();
        let order = self.order(caller, turn, estimate);
        let meter = order.meter.clone();
        let answered = self.answer(order, &mut permit).await;
        let (told, events) = answered.inspect_err(|_| permit.settle(0))?;
        let told = Told { route, limits, left_out, repaired, ..told };
        Ok(RunningTurn::new(told, Box::pin(Spending::new(events, permit, meter))))
    }

    /// The answer that is known, or else one that is made.
    async fn answer(&self, order: Order, permit: &mut Permit) -> Result<(Told, TurnStream), Error> {
        let with = |status, told| Told { cache: Some(status), ..told };
        loop {
            let made = Arc::new(OnceLock::new());
            let mut answer =
                match self.rules.cache.lookup(&order.caller.project, &order.turn, order.caller.cache_control)
                {
                    Lookup::Bypass => {
                        let (told, events) = order.run().await?;
                        return Ok((with(CacheStatus::Bypass, told), events));
                    }
                    Lookup::Hit(answer) => answer,
                    Lookup::Miss(filler) => filler.fill(order.clone().run_telling(Arc::clone(&made))),
                };
            match answer.started().await {
                Ok(()) if answer.is_hit() => {
                    permit.settle(0);
                    return Ok((
                        with(CacheStatus::Hit, Told::of(answer.model())),
                        Box::pin(answer.map(free)),
                    ));
                }
                Ok(()) => {
                    let told = made.get().cloned().unwrap_or_default();
                    return Ok((with(CacheStatus::Miss, told), Box::pin(answer)));
                }
                // Whoever was to make it may not. This caller may.
                Err(error) if answer.is_hit() && error.is_callers_own() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn order(&self, caller: Caller, turn: Turn, estimate: Amount) -> Order {
        let (turns, rules) = (Arc::clone(&self.turns), Arc::clone(&self.rules));
        Order { turns, rules, caller, turn, estimate, meter: Meter::default() }
    }

    /// Gives `turn` a model, if its caller has left that open.
    async fn route(&self, caller: &Caller, turn: &mut Turn) -> Result<Option<Choice>, Error> {
        if turn.model.as_str() != AUTO {
            return Ok(None);
        }
        let choice = self.rules.router.route(turn, self.rules.ledger.reader().budget_state(caller).await?);
        tracing::info!(model = %InLog(choice.model.as_str()), rule = choice.rule.name(), "a model was chosen");
        turn.model = choice.model.clone();
        Ok(Some(choice))
    }
}

impl Order {
    /// As [`run`](Self::run), and tells what there is to say of the turn as soon as it is known.
    async fn run_telling(self, made: Arc<OnceLock<Told>>) -> Result<TurnStream, Error> {
        let (told, events) = self.run().await?;
        made.get_or_init(|| told);
        Ok(events)
    }

    /// Has the turn run, and gives what there is to say of it. What it may cost is held before.
    async fn run(self) -> Result<(Told, TurnStream), Error> {
        let Self { turns, rules, caller, turn, estimate, meter } = self;
        let id = match &caller.errand {
            Some(errand) => ledger::repeated(&format!("{errand}/{}", turn.sampling.choice)),
            None => Uuid::new_v4().to_string(),
        };
        let must_wait = caller.grant.is_capped() || rules.ledger.is_failing();
        let hold = rules.ledger.hold(&caller, estimate, &id);
        let hold = async { Ok::<_, Error>(hold.await?) };
        let (hold, running) = if must_wait {
            let hold = hold.await?;
            (hold, turns.run(caller, turn).await?)
        } else {
            // Nothing can be in the way, so nobody waits for the disk.
            futures::try_join!(hold, turns.run(caller, turn))?
        };
        let RunningTurn { told, events, bill } = running;
        meter.attach(bill.clone());
        let account = Account::new(rules, hold, bill);
        Ok((told, Box::pin(Charging::new(events, account))))
    }
}

/// Refuses what is not the caller's: another project, and a model that it may not name. The choice among all models has to
/// be allowed by its name as well.
fn check(caller: &Caller, turn: &Turn) -> Result<(), Error> {
    if turn.project.as_ref().is_some_and(|project| !caller.is_of(project)) {
        return Err(Error::ForeignProject);
    }
    let model = turn.model.as_str();
    if caller.grant.allows_model(model) { Ok(()) } else { Err(Error::ForbiddenModel(model.to_owned())) }
}

/// An answer that is given again costs nothing.
fn free(event: Result<TurnEvent, Error>) -> Result<TurnEvent, Error> {
    event.map(|event| match event {
        TurnEvent::Finished(mut finish) => {
            finish.usage.cost = Some(Money::ZERO);
            TurnEvent::Finished(finish)
        }
        event => event,
    })
}

impl Turns for Admission {
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.admit(caller, turn).boxed()
    }

    fn count_tokens(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        let counted = async move {
            check(&caller, &turn)?;
            self.route(&caller, &mut turn).await?;
            self.turns.count_tokens(caller, turn).await
        };
        counted.boxed()
    }

    fn resolve(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        let resolved = async move {
            check(&caller, &turn)?;
            self.route(&caller, &mut turn).await?;
            self.turns.resolve(caller, turn).await
        };
        resolved.boxed()
    }

    fn fit<'a>(&'a self, turn: &'a Turn) -> BoxFuture<'a, Result<Fit, Error>> {
        self.turns.fit(turn)
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        if name.as_str() == AUTO {
            return std::future::ready(Ok(auto())).boxed();
        }
        self.turns.model(name)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        let listed = async {
            let mut cards = self.turns.models().await?;
            cards.push(auto());
            Ok(cards)
        };
        listed.boxed()
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = self.turns.readiness();
        if self.rules.ledger.is_failing() {
            readiness.problems.push(UNWRITABLE.to_owned());
        }
        readiness
    }
}

/// Stands for the model that the router chooses.
fn auto() -> ModelCard {
    ModelCard { name: ModelName::new(AUTO), resolves_to: AUTO.to_owned() }
}
