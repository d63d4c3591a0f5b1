//! Admission: everything decided about a turn before it asks for a worker. Permissions, routing,
//! rate limits, cache lookup, and the budget hold.

mod billing_stream;
mod pending_hold;
mod rate_limit_stream;
mod server_tools;
#[cfg(test)]
mod tests;
mod turn_billing;

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
use super::ModelCard;
use super::ModelFit;
use super::Readiness;
use super::RunningTurn;
use super::TurnInfo;
use super::TurnStream;
use super::Turns;
use crate::accounts::ledger::Ledger;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit::Permit;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Gate;
use crate::domain::LogText;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::RequestPermit;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::cache::Lookup;
use crate::engine::routing::Router;
use crate::engine::routing::RoutingChoice;
use crate::runtime::compute::in_place;

use billing_stream::BillingStream;
use pending_hold::PendingHold;
use pending_hold::WaitingHold;
use rate_limit_stream::RateLimitStream;
use rate_limit_stream::TurnUsageMeter;
use turn_billing::TurnBilling;

const UNWRITABLE: &str = "What runs cost cannot be written down, so none is begun: the disk under server.data_dir is full, or \
                          fails. It is tried again each second.";

/// Model name that leaves the choice to the server.
const AUTO_MODEL: &str = "auto";

/// Services and settings that admission depends on.
pub struct AdmissionDeps {
    /// Model selection, for callers that leave the model open.
    pub router: Arc<Router>,
    /// Price table: estimates a turn, and prices runs whose worker reports no cost.
    pub prices: Arc<Prices>,
    /// Rate limits of the callers.
    pub limits: RateLimits,
    /// Ledger of spending and budgets.
    pub ledger: Ledger,
    /// Response cache in front of the gateway.
    pub cache: AnswerCache,
    /// Maximum number of web searches in an answer whose turn sets none; `None` if web search is
    /// off.
    pub web_searches: Option<u32>,
    /// Set if Anthropic may run code and call MCP servers.
    pub server_tools: bool,
    /// Set if the CLI can read the calls of MCP servers.
    pub reads_mcp: bool,
    /// Betas of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
    /// Tracks charges of turns whose client has gone, to be finished before shutdown.
    pub tracker: TaskTracker,
    /// Runtime of these charges.
    pub runtime: Handle,
}

/// Admits turns to the gateway behind it.
pub struct Admission {
    turns: Arc<dyn Turns>,
    rules: Arc<AdmissionDeps>,
}

/// Admitted turn that missed the cache.
#[derive(Clone)]
struct PendingTurn {
    turns: Arc<dyn Turns>,
    rules: Arc<AdmissionDeps>,
    caller: Caller,
    turn: Turn,
    /// Amount that the budget must have room for.
    estimate: Amount,
    /// Estimated tokens of the prompt.
    prompt_tokens: u64,
    /// Reads the tokens of the runs so far.
    meter: TurnUsageMeter,
}

impl std::fmt::Debug for AdmissionDeps {
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
    /// Creates an admission in front of `turns`.
    pub fn new(turns: Arc<dyn Turns>, rules: AdmissionDeps) -> Self {
        Self {
            turns,
            rules: Arc::new(rules),
        }
    }

    async fn admit(&self, caller: Caller, mut turn: Turn) -> Result<RunningTurn, Error> {
        let rules = &self.rules;
        check_permissions(&caller, &turn)?;
        let mut left_out = server_tools::enforce_permissions(rules, &caller, &mut turn)?;
        let route = self.route(&caller, &mut turn).await?;
        let ModelFit {
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
                rules
                    .prices
                    .estimate_with_prompt_tokens(&model, &turn, tokens)
                    .times(runs),
            )
        });
        let mut permit = self.take_permit(&caller, estimate.tokens)?;
        let limits = permit.state();
        let order = self.pending_turn(caller, turn, estimate, prompt_tokens);
        let meter = order.meter.clone();
        let answered = self.cached_or_run(order, &mut permit).await;
        let (told, events) = answered.inspect_err(|_| permit.settle(0))?;
        let told = TurnInfo {
            route,
            limits,
            left_out,
            repaired,
            ..told
        };
        Ok(RunningTurn::new(
            told,
            Box::pin(RateLimitStream::new(events, permit, meter, prompt_tokens)),
        ))
    }

    /// Returns the cached answer, or runs the turn.
    async fn cached_or_run(
        &self,
        order: PendingTurn,
        permit: &mut Permit,
    ) -> Result<(TurnInfo, TurnStream), Error> {
        let with = |status, told| TurnInfo {
            cache: Some(status),
            ..told
        };
        loop {
            let made = Arc::new(OnceLock::new());
            let PendingTurn { caller, turn, .. } = &order;
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
                Lookup::Miss(filler) => {
                    filler.fill(order.clone().run_and_publish(Arc::clone(&made)))
                }
            };
            match answer.started().await {
                Ok(()) if answer.is_hit() => {
                    permit.settle(0);
                    return Ok((
                        with(CacheStatus::Hit, TurnInfo::for_model(answer.model())),
                        Box::pin(answer.map(without_cost)),
                    ));
                }
                Ok(()) => {
                    let told = made.get().cloned().unwrap_or_default();
                    return Ok((with(CacheStatus::Miss, told), Box::pin(answer)));
                }
                // Retry: the single-flight leader failed for its own reasons (budget, share of the
                // queue), which do not concern this caller.
                Err(error) if answer.is_hit() && error.concerns_only_its_caller() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the permit taken when the request came, or a new one for a further turn of the
    /// request.
    fn take_permit(&self, caller: &Caller, tokens: u64) -> Result<Permit, Error> {
        let Some(mut permit) = caller.permit.take::<Permit>() else {
            return Ok(self.rules.limits.admit(caller, tokens)?);
        };
        permit.take_tokens(tokens)?;
        Ok(permit)
    }

    fn pending_turn(
        &self,
        caller: Caller,
        turn: Turn,
        estimate: Amount,
        prompt_tokens: u64,
    ) -> PendingTurn {
        let (turns, rules) = (Arc::clone(&self.turns), Arc::clone(&self.rules));
        PendingTurn {
            turns,
            rules,
            caller,
            turn,
            estimate,
            prompt_tokens,
            meter: TurnUsageMeter::default(),
        }
    }

    /// Chooses the model of `turn`, if its caller has left it open.
    async fn route(
        &self,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<Option<RoutingChoice>, Error> {
        if turn.model.as_str() != AUTO_MODEL {
            return Ok(None);
        }
        let budget = self.rules.ledger.reader().budget_state(caller).await?;
        let choice = in_place(turn.bytes(), || self.rules.router.route(turn, budget));
        tracing::info!(model = %LogText(choice.model.as_str()), rule = choice.rule.name(), "model chosen");
        turn.model = choice.model.clone();
        Ok(Some(choice))
    }
}

impl PendingTurn {
    /// Runs the turn as [`run`](Self::run) does, and stores its metadata in `made` for the caller
    /// that awaits the shared answer.
    async fn run_and_publish(self, made: Arc<OnceLock<TurnInfo>>) -> Result<TurnStream, Error> {
        let (told, events) = self.run().await?;
        made.get_or_init(|| told);
        Ok(events)
    }

    /// Runs the turn after holding its estimated cost, and returns its metadata and events.
    async fn run(self) -> Result<(TurnInfo, TurnStream), Error> {
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
        let (ledger, choice) = (rules.ledger.clone(), turn.sampling.choice_index);
        let holding = PendingHold {
            ledger,
            caller: caller.clone(),
            estimate,
            choice,
        };
        // Without a budget no hold can be refused; it is then taken when the run begins, and a
        // waiting turn costs no disk write.
        let may_be_over = caller.grant.is_capped() || rules.ledger.is_failing();
        let waiting = if may_be_over {
            holding.take_while_waiting().await?
        } else {
            WaitingHold::Deferred(holding)
        };
        let hold = async move {
            keeper.wait_for_arrival().await;
            // Write-ahead: nothing goes upstream before its hold is on disk. A client that leaves
            // earlier pays nothing, one that leaves later pays by the hold.
            let hold = waiting.begin().await?;
            keeper.open();
            Ok::<_, Error>(hold)
        };
        // If either side fails, the other is dropped: the turn before its gate, or the hold, which
        // then releases itself.
        let (hold, running) = futures::try_join!(hold, turns.run_gated(gate, caller, turn))?;
        let RunningTurn {
            info: told,
            events,
            bill,
        } = running;
        meter.attach(bill.clone());
        let account = TurnBilling::new(rules, hold, bill, &told.model, prompt_tokens);
        Ok((told, Box::pin(BillingStream::new(events, account))))
    }
}

/// Refuses a project or a model that the caller may not use. Automatic model selection must be
/// allowed under its own name.
fn check_permissions(caller: &Caller, turn: &Turn) -> Result<(), Error> {
    if turn
        .project
        .as_ref()
        .is_some_and(|project| !caller.is_in_project(project))
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

/// Sets the cost of a cached answer to zero.
fn without_cost(event: Result<TurnEvent, Error>) -> Result<TurnEvent, Error> {
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
        let entry = RequestPermit::new(self.rules.limits.admit_without_estimate(&caller)?);
        Ok(Caller {
            permit: entry,
            ..caller
        })
    }

    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.admit(caller, turn).boxed()
    }

    fn count_tokens(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        let counted = async move {
            check_permissions(&caller, &turn)?;
            self.route(&caller, &mut turn).await?;
            self.turns.count_tokens(caller, turn).await
        };
        counted.boxed()
    }

    fn resolve(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        let resolved = async move {
            check_permissions(&caller, &turn)?;
            self.route(&caller, &mut turn).await?;
            self.turns.resolve(caller, turn).await
        };
        resolved.boxed()
    }

    fn fit<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a Turn,
    ) -> BoxFuture<'a, Result<ModelFit, Error>> {
        self.turns.fit(caller, turn)
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        if name.as_str() == AUTO_MODEL {
            return std::future::ready(Ok(auto_model_card())).boxed();
        }
        self.turns.model(name)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        let listed = async {
            let mut cards = self.turns.models().await?;
            cards.push(auto_model_card());
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

/// Returns the card of automatic model selection.
fn auto_model_card() -> ModelCard {
    ModelCard {
        name: ModelName::new(AUTO_MODEL),
        resolves_to: AUTO_MODEL.to_owned(),
    }
}
