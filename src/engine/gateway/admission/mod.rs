//! What is decided of a turn before it asks for a worker: whether its caller may name its model, which one it is where that is
//! left open, whether limits and budgets let it in, and whether its answer is known already.

mod account;
mod charging;
mod holding;
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
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Limits;
use crate::accounts::rate_limit::Permit;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Entry;
use crate::domain::Gate;
use crate::domain::InLog;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::cache::Lookup;
use crate::engine::routing::Choice;
use crate::engine::routing::Router;
use crate::runtime::compute::in_place;

use account::Account;
use charging::Charging;
use holding::Holding;
use holding::Waiting;
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
    /// What its prompt may have of that.
    prompt_tokens: u64,
    /// Reads what it takes.
    meter: Meter,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rules")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Admission")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// Lets turns in to `turns` by `rules`.
    pub fn new(turns: Arc<dyn Turns>, rules: Rules) -> Self {
        Self {
            turns,
            rules: Arc::new(rules),
        }
    }

    async fn admit(&self, caller: Caller, mut turn: Turn) -> Result<RunningTurn, Error> {
        let rules = &self.rules;
        check(&caller, &turn)?;
        let mut left_out = server_tools::check(rules, &caller, &mut turn)?;
        let route = self.route(&caller, &mut turn).await?;
        let Fit {
            model,
            left_out: refused,
            repaired,
            runs,
        } = self.turns.fit(&caller, &turn).await?;
        left_out.extend(refused);
        let (prompt_tokens, estimate) = in_place(turn.bytes(), || {
            let tokens = rules.prices.prompt_tokens(&turn);
            (
                tokens,
                rules.prices.estimate_of(&model, &turn, tokens).times(runs),
            )
        });
        let mut permit = self.permit(&caller, estimate.tokens)?;
        let limits = permit.state();
        let order = self.order(caller, turn, estimate, prompt_tokens);
        let meter = order.meter.clone();
        let answered = self.answer(order, &mut permit).await;
        let (told, events) = answered.inspect_err(|_| permit.settle(0))?;
        let told = Told {
            route,
            limits,
            left_out,
            repaired,
            ..told
        };
        Ok(RunningTurn::new(
            told,
            Box::pin(Spending::new(events, permit, meter, prompt_tokens)),
        ))
    }

    /// The answer that is known, or else one that is made.
    async fn answer(&self, order: Order, permit: &mut Permit) -> Result<(Told, TurnStream), Error> {
        let with = |status, told| Told {
            cache: Some(status),
            ..told
        };
        loop {
            let made = Arc::new(OnceLock::new());
            let Order { caller, turn, .. } = &order;
            let lookup = || {
                let Caller {
                    project,
                    cache_control,
                    in_background,
                    ..
                } = caller;
                self.rules
                    .cache
                    .lookup(project, turn, *cache_control, *in_background)
            };
            let mut answer = match in_place(turn.bytes(), lookup) {
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

    /// The permit that `caller` took when its request came, or one of its own for a further turn of the request.
    fn permit(&self, caller: &Caller, tokens: u64) -> Result<Permit, Error> {
        let Some(mut permit) = caller.entry.take::<Permit>() else {
            return Ok(self.rules.limits.admit(caller, tokens)?);
        };
        permit.ask(tokens)?;
        Ok(permit)
    }

    fn order(&self, caller: Caller, turn: Turn, estimate: Amount, prompt_tokens: u64) -> Order {
        let (turns, rules) = (Arc::clone(&self.turns), Arc::clone(&self.rules));
        Order {
            turns,
            rules,
            caller,
            turn,
            estimate,
            prompt_tokens,
            meter: Meter::default(),
        }
    }

    /// Gives `turn` a model, if its caller has left that open.
    async fn route(&self, caller: &Caller, turn: &mut Turn) -> Result<Option<Choice>, Error> {
        if turn.model.as_str() != AUTO {
            return Ok(None);
        }
        let budget = self.rules.ledger.reader().budget_state(caller).await?;
        let choice = in_place(turn.bytes(), || self.rules.router.route(turn, budget));
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
        let Self {
            turns,
            rules,
            caller,
            turn,
            estimate,
            prompt_tokens,
            meter,
        } = self;
        let (gate, keeper) = Gate::closed();
        let (ledger, choice) = (rules.ledger.clone(), turn.sampling.choice);
        let holding = Holding {
            ledger,
            caller: caller.clone(),
            estimate,
            choice,
        };
        // Without a budget nothing can be in the way, and nothing is on disk of a turn that waits.
        let may_be_over = caller.grant.is_capped() || rules.ledger.is_failing();
        let waiting = if may_be_over {
            holding.wait().await?
        } else {
            Waiting::Untaken(holding)
        };
        let hold = async move {
            keeper.arrival().await;
            // Nothing goes upstream whose hold is not on disk: who leaves now pays nothing, who leaves later pays by the hold.
            let hold = waiting.begin().await?;
            keeper.open();
            Ok::<_, Error>(hold)
        };
        let (hold, running) = futures::try_join!(hold, turns.run_behind(gate, caller, turn))?;
        let RunningTurn { told, events, bill } = running;
        meter.attach(bill.clone());
        let account = Account::new(rules, hold, bill, &told.model, prompt_tokens);
        Ok((told, Box::pin(Charging::new(events, account))))
    }
}

/// Refuses what is not the caller's: another project, and a model that it may not name. The choice among all models has to
/// be allowed by its name as well.
fn check(caller: &Caller, turn: &Turn) -> Result<(), Error> {
    if turn
        .project
        .as_ref()
        .is_some_and(|project| !caller.is_of(project))
    {
        return Err(Error::ForeignProject);
    }
    let model = turn.model.as_str();
    if caller.grant.allows_model(model) {
        Ok(())
    } else {
        Err(Error::ForbiddenModel(model.to_owned()))
    }
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
    fn enter(&self, caller: Caller) -> Result<Caller, Error> {
        let entry = Entry::new(self.rules.limits.enter(&caller)?);
        Ok(Caller { entry, ..caller })
    }

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

    fn fit<'a>(&'a self, caller: &'a Caller, turn: &'a Turn) -> BoxFuture<'a, Result<Fit, Error>> {
        self.turns.fit(caller, turn)
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
    ModelCard {
        name: ModelName::new(AUTO),
        resolves_to: AUTO.to_owned(),
    }
}
