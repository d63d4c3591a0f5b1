//! The gateway with in-memory workers, on paused time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::domain::{
    Caller, Failure, FailureKind, Finish, FinishReason, Model, ModelName, Money, Sampling, Tool,
    Tools, Turn, TurnEvent, Usage,
};
use crate::engine::pool::{self, LaunchError, Launcher, Pool, Worker};
use crate::engine::worker::{TurnWorker, WorkerTurn};
use crate::telemetry::metrics::PoolMetrics;

use super::testing::turn;
use super::{Breaker, BusyReason, Error, Gateway, ModelNames, ModelRules, SignInState, Turns};

mod outage;
mod preflight;
mod refused;
mod repeats;
mod service;
mod sign_ins;

/// Behaviour of the next turns, and the turns that workers received.
#[derive(Default)]
struct Script {
    starts: VecDeque<Failure>,
    events: VecDeque<Result<TurnEvent, Failure>>,
    served: Vec<String>,
    turns: Vec<Turn>,
    /// Costs of the next runs.
    costs: VecDeque<Money>,
    resets: usize,
    /// Number of the next starts that never end.
    hanging: usize,
    /// Set if token counts never end.
    counts_hang: bool,
    /// Set if workers report their calls as upstream.
    says_calls: bool,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Launcher for Scripted {
    type Worker = Self;

    async fn launch(&self) -> Result<Self, LaunchError> {
        Ok(self.clone())
    }
}

impl Worker for Scripted {
    type ResetError = Infallible;

    async fn reset(&mut self) -> Result<(), Infallible> {
        self.0.lock().unwrap().resets += 1;
        Ok(())
    }

    fn is_alive(&mut self) -> bool {
        true
    }
}

impl TurnWorker for Scripted {
    async fn start(&mut self, turn: &WorkerTurn) -> Result<(), Failure> {
        let hanging = self.0.lock().unwrap().hanging;
        if hanging > 0 {
            self.0.lock().unwrap().hanging -= 1;
            return futures::future::pending().await;
        }
        let mut script = self.0.lock().unwrap();
        script.served.push(turn.turn.model.to_string());
        script.turns.push(turn.turn.clone());
        turn.cost_meter.set_under_way(script.says_calls);
        if let Some(cost) = script.costs.pop_front() {
            turn.cost_meter.record_cost(cost);
        }
        script.starts.pop_front().map_or(Ok(()), Err)
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        let next = self.0.lock().unwrap().events.pop_front();
        match next {
            Some(event) => event.map(Some),
            None => futures::future::pending().await,
        }
    }

    async fn count_tokens(&mut self, _: &WorkerTurn) -> Result<u64, Failure> {
        if self.0.lock().unwrap().counts_hang {
            return futures::future::pending().await;
        }
        Ok(7)
    }

    fn models(&self) -> &[Model] {
        static MODELS: std::sync::OnceLock<Vec<Model>> = std::sync::OnceLock::new();
        MODELS.get_or_init(|| {
            vec![Model {
                alias: "haiku".into(),
                id: "claude-haiku-5-5".into(),
                display_name: "Haiku".into(),
            }]
        })
    }
}

struct GatewayFixture {
    gateway: Gateway<Scripted>,
    pool: Pool<Scripted>,
    script: Scripted,
    tracker: TaskTracker,
}

impl GatewayFixture {
    fn new() -> Self {
        Self::with(ModelRules::default())
    }

    fn with(rules: ModelRules) -> Self {
        Self::of(rules, 1)
    }

    fn of(rules: ModelRules, prewarm: usize) -> Self {
        let script = Scripted::default();
        let tracker = TaskTracker::new();
        let config = pool::Config {
            max_workers: 1,
            prewarm,
            max_starting: 1,
            queue_length: 0,
            queue_timeout: Duration::from_secs(5),
            max_turns: 100,
            max_age: Duration::from_secs(1000),
            idle_timeout: Duration::from_secs(1000),
            check_after: Duration::from_secs(1000),
        };
        let pool = Pool::start(
            script.clone(),
            config,
            PoolMetrics::default(),
            tracker.clone(),
        );
        let names = ModelNames::new([("gpt-4o".to_owned(), "haiku".to_owned())].into(), None);
        let gateway = Gateway::new(
            SignInState::SignedIn(pool.clone()),
            names,
            rules,
            Breaker::new(2),
        );
        Self {
            gateway,
            pool,
            script,
            tracker,
        }
    }

    fn script(&self, events: impl IntoIterator<Item = Result<TurnEvent, Failure>>) {
        self.script.0.lock().unwrap().events.extend(events);
    }

    async fn run(&self, model: &str) -> Result<super::RunningTurn, Error> {
        self.gateway.run(caller(), turn(model)).await
    }

    /// Waits until no worker is lent, closes the pool, and returns the number of resets.
    async fn end(self) -> usize {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(self.pool.stats().busy, 0, "no lease is left");
        self.pool.close();
        self.tracker.close();
        self.tracker.wait().await;
        let script = self.script.0.lock().unwrap();
        script.resets
    }
}

fn caller() -> Caller {
    Caller::named("test")
}

fn finished() -> TurnEvent {
    TurnEvent::Finished(Finish::new(FinishReason::Stop, Usage::default()))
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn turn_streams_and_its_worker_is_reset() {
    let fixture = GatewayFixture::new();
    fixture.script([Ok(text("a")), Ok(text("b")), Ok(finished())]);
    let running = fixture.run("gpt-4o").await.unwrap();
    assert_eq!(running.info.model, "claude-haiku-5-5");
    let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
    assert_eq!(events, [text("a"), text("b"), finished()]);
    assert_eq!(
        fixture.script.0.lock().unwrap().served,
        ["claude-haiku-5-5"]
    );
    assert_eq!(fixture.end().await, 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_turn_returns_its_worker() {
    let fixture = GatewayFixture::new();
    fixture.script([Ok(text("a"))]);
    let mut running = fixture.run("haiku").await.unwrap();
    running.events.next().await.unwrap().unwrap();
    drop(running);
    assert_eq!(fixture.end().await, 1);
}

#[tokio::test(start_paused = true)]
async fn worker_is_returned_before_the_end_is_read() {
    let fixture = GatewayFixture::new();
    fixture.script([Ok(finished())]);
    let mut running = fixture.run("haiku").await.unwrap();
    running.events.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fixture.pool.stats().idle, 1);
    drop(running);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn invalid_strict_tool_arguments_fail_the_answer_at_its_end() {
    let fixture = GatewayFixture::new();
    let called = Finish::new(FinishReason::ToolCalls, Usage::default());
    let call = || Ok(TurnEvent::tool_call("1", "look"));
    let finished = || Ok(TurnEvent::Finished(called.clone()));
    let schema = r#"{"required":["a"]}"#.to_owned();
    let look = Tool {
        name: "look".to_owned(),
        description: None,
        schema,
        strict: true,
    };
    let turn = Turn {
        tools: Tools {
            list: vec![look],
            ..Tools::default()
        },
        ..turn("haiku")
    };
    for (input, is_good) in [(r#"{"b":1}"#, false), (r#"{"a":1}"#, true)] {
        fixture.script([
            call(),
            Ok(TurnEvent::ToolInput(input.to_owned())),
            finished(),
        ]);
        let running = fixture.gateway.run(caller(), turn.clone()).await.unwrap();
        let events: Vec<_> = running.events.collect().await;
        assert_eq!(events.len(), 3);
        assert_eq!(events[2].is_ok(), is_good, "{events:?}");
    }
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn token_count_uses_a_worker_that_is_reset_afterwards() {
    let fixture = GatewayFixture::new();
    assert_eq!(
        fixture.gateway.count_tokens(caller(), turn("haiku")).await,
        Ok(7)
    );
    let unknown = fixture
        .gateway
        .count_tokens(caller(), turn("gemini-9"))
        .await;
    assert_eq!(unknown, Err(Error::UnknownModel("gemini-9".to_owned())));
    assert_eq!(fixture.end().await, 1);
}

#[tokio::test(start_paused = true)]
async fn model_name_is_resolved_without_running_the_turn() {
    let fixture = GatewayFixture::new();
    let resolved = fixture.gateway.resolve(caller(), turn("haiku")).await;
    assert_eq!(resolved, Ok(ModelName::new("claude-haiku-5-5")));
    let unknown = fixture.gateway.resolve(caller(), turn("gemini-9")).await;
    assert_eq!(unknown, Err(Error::UnknownModel("gemini-9".to_owned())));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_failures_of_the_worker_itself_end_it() {
    for (kind, resets) in [
        (FailureKind::Crashed, 0),
        (FailureKind::TimedOut, 0),
        (FailureKind::Overloaded, 1),
    ] {
        let fixture = GatewayFixture::new();
        fixture.script([Ok(text("a")), Err(Failure::new(kind, "failed"))]);
        let mut running = fixture.run("haiku").await.unwrap();
        running.events.next().await.unwrap().unwrap();
        assert!(
            matches!(running.events.next().await, Some(Err(Error::Failed(failure))) if failure.kind == kind)
        );
        assert!(running.events.next().await.is_none());
        assert_eq!(fixture.end().await, resets);
    }
}

#[tokio::test(start_paused = true)]
async fn worker_that_cannot_accept_the_turn_is_replaced_once() {
    let fixture = GatewayFixture::new();
    let crashed = || Failure::new(FailureKind::Crashed, "dead");
    fixture.script.0.lock().unwrap().starts.push_back(crashed());
    fixture.script([Ok(finished())]);
    let running = fixture.run("haiku").await.unwrap();
    assert_eq!(running.events.count().await, 1);
    fixture
        .script
        .0
        .lock()
        .unwrap()
        .starts
        .extend([crashed(), crashed()]);
    assert!(matches!(fixture.run("haiku").await, Err(Error::Failed(_))));
    assert_eq!(fixture.script.0.lock().unwrap().served.len(), 4);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn crashed_worker_is_replaced_once_before_the_answer_but_not_a_silent_one() {
    let fixture = GatewayFixture::new();
    let crashed = || Err(Failure::new(FailureKind::Crashed, "dead"));
    fixture.script([crashed(), Ok(text("a")), Ok(finished())]);
    let running = fixture.run("haiku").await.unwrap();
    let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
    assert_eq!(events, [text("a"), finished()]);
    assert_eq!(fixture.script.0.lock().unwrap().served.len(), 2);

    fixture.script([crashed(), crashed()]);
    let running = fixture.run("haiku").await.unwrap();
    assert!(matches!(
        running.events.collect::<Vec<_>>().await.as_slice(),
        [Err(Error::Failed(_))]
    ));
    assert_eq!(fixture.script.0.lock().unwrap().served.len(), 4);

    fixture.script([Err(Failure::new(FailureKind::TimedOut, "silent"))]);
    let running = fixture.run("haiku").await.unwrap();
    assert_eq!(running.events.count().await, 1);
    assert_eq!(
        fixture.script.0.lock().unwrap().served.len(),
        5,
        "the model may be at work on it"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn worker_that_times_out_on_start_is_replaced_once() {
    let fixture = GatewayFixture::new();
    fixture.script.0.lock().unwrap().hanging = 2;
    let started = tokio::time::Instant::now();
    let failed = fixture.run("haiku").await.unwrap_err();
    assert!(
        matches!(&failed, Error::Failed(failure) if failure.kind == FailureKind::TimedOut),
        "{failed:?}"
    );
    // Twice the timeout, and the pause between.
    assert!(
        (60..62).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    fixture.script.0.lock().unwrap().hanging = 1;
    fixture.run("haiku").await.unwrap();
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn unknown_model_is_refused_without_a_worker() {
    let fixture = GatewayFixture::new();
    assert_eq!(
        fixture.run("gemini-9").await.unwrap_err(),
        Error::UnknownModel("gemini-9".to_owned())
    );
    assert!(fixture.script.0.lock().unwrap().served.is_empty());
    assert_eq!(
        fixture.end().await,
        0,
        "a worker that was only looked at needs no reset"
    );
}

#[tokio::test(start_paused = true)]
async fn full_pool_returns_busy_with_retry_after() {
    let fixture = GatewayFixture::new();
    let running = fixture.run("haiku").await.unwrap();
    let error = fixture.run("haiku").await.unwrap_err();
    assert_eq!(
        error,
        Error::Busy {
            workers: 1,
            reason: BusyReason::QueueFull,
            retry_after: Duration::from_secs(1)
        }
    );
    drop(running);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn models_are_listed_with_their_aliases() {
    let fixture = GatewayFixture::new();
    let cards = fixture.gateway.models().await.unwrap();
    let names: Vec<_> = cards.iter().map(|card| card.name.as_str()).collect();
    assert_eq!(names, ["claude-haiku-5-5", "haiku", "gpt-4o"]);
    fixture.end().await;
}

#[tokio::test]
async fn missing_sign_in_is_reported() {
    let gateway: Gateway<Scripted> = Gateway::new(
        SignInState::Missing("Set X.".to_owned()),
        ModelNames::default(),
        ModelRules::default(),
        Breaker::new(0),
    );
    let error = gateway.run(caller(), turn("haiku")).await.unwrap_err();
    assert_eq!(error, Error::NotSignedIn("Set X.".to_owned()));
    assert_eq!(
        gateway.models().await.unwrap_err(),
        Error::NotSignedIn("Set X.".to_owned())
    );
    assert_eq!(gateway.readiness().problems, ["Set X."]);
}

#[tokio::test(start_paused = true)]
async fn retry_on_another_worker_waits_for_a_pause() {
    let fixture = GatewayFixture::new();
    fixture.script([
        Err(Failure::new(FailureKind::Crashed, "dead")),
        Ok(finished()),
    ]);
    let running = fixture.run("haiku").await.unwrap();
    let started = Instant::now();
    assert_eq!(running.events.count().await, 1);
    let paused = started.elapsed();
    assert!(
        Duration::from_millis(50) <= paused && paused <= Duration::from_millis(205),
        "{paused:?}"
    );
    fixture.end().await;
}
