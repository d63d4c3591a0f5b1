//! Admission tests: limits, billing and the cache, with scripted runs.

mod billing;
mod cached;
mod cancelled;
mod end_users;
mod fallback_places;
mod fallbacks;
mod files;
mod hooks;
mod measured;
mod server_tools;
mod shared_answers;
mod traced;
mod tracked;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::channel::mpsc::UnboundedSender;
use futures::future::BoxFuture;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::ledger;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::accounts::ledger::UsageTotals;
use crate::domain::Budget;
use crate::domain::CacheControl;
use crate::domain::CalledTool;
use crate::domain::Cap;
use crate::domain::CostMeter;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Grant;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Part;
use crate::domain::Rates;
use crate::domain::Sampling;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::Tools;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::domain::WebSearch;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::ModelFit;
use crate::engine::gateway::Readiness;
use crate::engine::gateway::SignInName;
use crate::engine::gateway::json_answer;
use crate::engine::gateway::testing;
use crate::engine::pool::BusyReason;

/// Run that the test scripts.
struct Run {
    turn: Turn,
    /// Sign-in that alone may run it.
    sign_in: Option<Arc<str>>,
    events: UnboundedSender<Result<TurnEvent, Error>>,
    /// Written by the worker; dropped when no further writes can come.
    cost_meter: CostMeter,
}

/// Gateway whose runs the test scripts.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Run>>>);

impl Runs {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn take(&self) -> Run {
        self.0.lock().unwrap().pop().expect("something runs")
    }
}

impl Turns for Runs {
    fn preflight(&self, _: &Caller, turn: &Turn) -> Result<(), Error> {
        if turn.model.as_str() == "full" {
            return Err(Failure::new(FailureKind::Overloaded, "full").into());
        }
        Ok(())
    }

    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        if turn.model.as_str() == "busy" {
            let failure = Failure::new(FailureKind::Overloaded, "busy");
            return std::future::ready(Err(failure.into())).boxed();
        }
        if turn.model.as_str() == "share" && caller.name == "greedy" {
            let reason = BusyReason::OwnShare { own: 2, waiting: 2 };
            let busy = Error::Busy {
                workers: 1,
                reason,
                retry_after: Duration::from_secs(1),
            };
            return std::future::ready(Err(busy)).boxed();
        }
        if turn.model.as_str() == "bound" && caller.name == "greedy" {
            let unbound = Error::NotSignedIn("No sign-in is for this key.".to_owned());
            return std::future::ready(Err(unbound)).boxed();
        }
        if turn.model.as_str() == "queue" {
            return std::future::pending().boxed();
        }
        let (events, received) = mpsc::unbounded();
        let cost_meter = CostMeter::default();
        let info = TurnInfo::for_model("m-1");
        if turn.model.as_str().starts_with("signed-") {
            info.sign_in.set(Some(SignInName {
                name: turn.model.as_str().into(),
                is_told: true,
            }));
        }
        let running = RunningTurn {
            costs: cost_meter.reader(),
            ..RunningTurn::new(info, Box::pin(received))
        };
        self.0.lock().unwrap().push(Run {
            turn,
            sign_in: caller.sign_in,
            events,
            cost_meter,
        });
        std::future::ready(Ok(running)).boxed()
    }

    fn count_tokens(&self, _: Caller, _: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        std::future::ready(Ok(7)).boxed()
    }

    fn resolve(&self, _: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        std::future::ready(Ok(turn.model)).boxed()
    }

    fn fit<'a>(&'a self, _: &'a Caller, turn: &'a Turn) -> BoxFuture<'a, Result<ModelFit, Error>> {
        let model = if turn.model.as_str() == "alias" {
            "m-1"
        } else {
            turn.model.as_str()
        };
        std::future::ready(Ok(ModelFit {
            model: model.to_owned(),
            left_out: Vec::new(),
            repaired: Vec::new(),
            runs: json_answer::max_runs(&turn.sampling.format),
        }))
        .boxed()
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }
}

impl Run {
    fn say(&self, event: TurnEvent) {
        self.events.unbounded_send(Ok(event)).unwrap();
    }

    fn begin(&self) {
        let usage = Usage {
            input_tokens: 100,
            ..Usage::default()
        };
        self.say(TurnEvent::started("m-1", usage));
    }

    /// Yields a complete answer that costs `nanos`.
    fn answer(&self, nanos: i64) {
        self.begin();
        self.say(TurnEvent::Text("Hello".to_owned()));
        self.cost_meter.record_cost(Money::from_nanos(nanos));
        self.say(finished());
    }
}

fn finished() -> TurnEvent {
    let usage = Usage {
        input_tokens: 100,
        output_tokens: 20,
        ..Usage::default()
    };
    TurnEvent::Finished(Finish::new(FinishReason::Stop, usage))
}

fn turn(model: &str, temperature: Option<f64>) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("Say hello.")],
        sampling: Sampling {
            temperature,
            max_output_tokens: Some(50),
            ..Sampling::default()
        },
    }
}

/// Returns a caller with the key `name` and a daily budget of `tokens`.
fn capped(name: &str, tokens: u64) -> Caller {
    budgeted(
        name,
        Cap {
            tokens: Some(tokens),
            money: None,
        },
    )
}

/// Returns a caller with the key `name` and a daily budget of `nanos` nano-dollars.
fn capped_in_money(name: &str, nanos: i64) -> Caller {
    budgeted(
        name,
        Cap {
            tokens: None,
            money: Some(Money::from_nanos(nanos)),
        },
    )
}

fn budgeted(name: &str, daily: Cap) -> Caller {
    let budget = Budget {
        daily,
        ..Budget::default()
    };
    granted(
        name,
        Grant {
            budget,
            ..Grant::default()
        },
    )
}

/// Returns a caller with the key `name` and a rate limit of `tokens` a minute.
fn limited_in_tokens(name: &str, tokens: u32) -> Caller {
    let rates = Rates {
        tokens_per_minute: Some(tokens),
        ..Rates::default()
    };
    granted(
        name,
        Grant {
            rates,
            ..Grant::default()
        },
    )
}

fn granted(name: &str, grant: Grant) -> Caller {
    Caller {
        grant: Arc::new(grant),
        ..Caller::named(name)
    }
}

struct Setting {
    pipeline: PipelineSteps,
    runs: Runs,
    ledger: Ledger,
    tracker: TaskTracker,
}

impl Setting {
    async fn new() -> Self {
        Self::with(testing::admission_deps().await)
    }

    fn with(rules: AdmissionDeps) -> Self {
        let runs = Runs::default();
        let ledger = rules.ledger.clone();
        let tracker = rules.tracker.clone();
        Self {
            pipeline: testing::pipeline(runs.clone(), rules),
            runs,
            ledger,
            tracker,
        }
    }

    async fn ask(&self, caller: &Caller, turn: Turn) -> Result<RunningTurn, Error> {
        self.pipeline.run(caller.clone(), turn).await
    }

    /// Returns the total charges: requests, tokens, nano-dollars.
    async fn charged(&self) -> (u64, u128, u128) {
        let UsageTotals {
            requests,
            total_tokens,
            cost_nanos,
            ..
        } = self.usage_totals().await;
        (requests, total_tokens, cost_nanos)
    }

    /// Returns the charged tokens that are estimated.
    async fn estimated_tokens(&self) -> u128 {
        self.usage_totals().await.estimated_tokens
    }

    async fn usage_totals(&self) -> UsageTotals {
        let query = UsageQuery {
            project: None,
            key: None,
            period: UsagePeriod::All,
            group_by: None,
        };
        self.ledger.reader().usage(&query).await.unwrap().totals
    }

    /// Returns the tokens spent and held from the budget of `caller`.
    async fn used(&self, caller: &Caller) -> u64 {
        ledger::testing::budgets(&self.ledger, caller).await[0]
            .0
            .tokens
    }

    /// Waits until all background tasks are done.
    async fn rest(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

async fn read(running: RunningTurn) -> Vec<Result<TurnEvent, Error>> {
    running.events.collect().await
}

fn cost(events: &[Result<TurnEvent, Error>]) -> Option<i64> {
    match events.last() {
        Some(Ok(TurnEvent::Finished(finish))) => finish.usage.cost.map(Money::nanos),
        other => panic!("{other:?}"),
    }
}

fn turn_with_web_search(max_uses: Option<u32>) -> Turn {
    let web_search = Some(WebSearch {
        max_uses,
        ..WebSearch::default()
    });
    Turn {
        tools: Tools {
            web_search,
            ..Tools::default()
        },
        ..turn("m-1", None)
    }
}
