//! Several sign-ins: which one runs a turn, and which one is next when it cannot.

use super::*;
use crate::accounts::ledger::ListedCharge;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::engine::gateway::AdmissionDeps;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::SignInFacts;
use crate::engine::gateway::SignInName;
use crate::engine::gateway::SignInPool;
use crate::engine::gateway::SignInUse;
use crate::engine::gateway::sign_ins::SignIns;
use crate::engine::gateway::testing;
use crate::engine::routing;
use crate::engine::routing::FallbackCause;
use crate::engine::routing::FallbackConfig;
use crate::engine::routing::FallbackRule;
use crate::engine::routing::FallbackTarget;

/// Gateway with scripted workers for each of its sign-ins.
struct SignInsFixture {
    gateway: Gateway<Scripted>,
    scripts: Vec<Scripted>,
    pools: Vec<Pool<Scripted>>,
    tracker: TaskTracker,
}

impl SignInsFixture {
    /// Opens a gateway with one worker for each sign-in.
    fn open(sign_ins: impl IntoIterator<Item = (&'static str, SignInUse)>) -> Self {
        let tracker = TaskTracker::new();
        let mut scripts = Vec::new();
        let mut pools = Vec::new();
        let sign_ins = sign_ins.into_iter().map(|(name, usage)| {
            let script = Scripted::default();
            let pool = Pool::start(
                script.clone(),
                one_worker(),
                PoolMetrics::default(),
                tracker.clone(),
            );
            scripts.push(script);
            pools.push(pool.clone());
            SignInPool {
                facts: SignInFacts {
                    name: name.to_owned(),
                    ..SignInFacts::default()
                },
                shown_name: Some(SignInName {
                    name: name.into(),
                    is_told: true,
                }),
                pool,
                breaker: Breaker::beside_others(5),
                usage,
            }
        });
        let sign_ins = sign_ins.collect();
        let names = ModelNames::new([].into(), None);
        Self {
            gateway: Gateway::with_sign_ins(sign_ins, names, ModelRules::default()),
            scripts,
            pools,
            tracker,
        }
    }

    /// Opens a gateway whose second sign-in serves what the first one cannot.
    fn in_order() -> Self {
        Self::open([("first", at(1)), ("second", at(2))])
    }

    fn script(&self, sign_in: usize, events: impl IntoIterator<Item = Result<TurnEvent, Failure>>) {
        self.scripts[sign_in]
            .0
            .lock()
            .unwrap()
            .events
            .extend(events);
    }

    /// Number of turns that the workers of a sign-in were given.
    fn served(&self, sign_in: usize) -> usize {
        self.scripts[sign_in].0.lock().unwrap().served.len()
    }

    /// Runs a turn to its end. Returns the name of its sign-in, or its error.
    async fn run(&self) -> Result<String, Error> {
        answer(self.gateway.run(caller(), turn("haiku")).await?).await
    }

    /// Runs a turn through the steps of `admission`. Returns the name of its sign-in, and its
    /// charges.
    async fn run_charged(self, admission: AdmissionDeps) -> (String, Vec<ListedCharge>) {
        let reader = admission.ledger.reader();
        let pipeline = testing::pipeline(self.gateway, admission);
        let running = pipeline.run(caller(), turn("haiku")).await.unwrap();
        let name = answer(running).await.unwrap();
        let charges = reader.charges().await.unwrap();
        drop(pipeline);
        self.pools.iter().for_each(Pool::close);
        self.tracker.close();
        self.tracker.wait().await;
        (name, charges)
    }

    async fn end(self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        for pool in &self.pools {
            assert_eq!(pool.stats().busy, 0, "no lease is left");
            pool.close();
        }
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn one_worker() -> pool::Config {
    pool::Config {
        max_workers: 1,
        prewarm: 1,
        max_starting: 1,
        queue_length: 0,
        queue_timeout: Duration::from_secs(5),
        max_turns: 100,
        max_age: Duration::from_secs(10_000),
        idle_timeout: Duration::from_secs(10_000),
        check_after: Duration::from_secs(10_000),
    }
}

fn at(order: u32) -> SignInUse {
    SignInUse {
        order,
        ..SignInUse::default()
    }
}

async fn answer(running: RunningTurn) -> Result<String, Error> {
    let sign_in = running.info.sign_in.clone();
    let mut events = running.events;
    while let Some(event) = events.next().await {
        event?;
    }
    Ok(sign_in.name().unwrap().to_string())
}

fn answered() -> [Result<TurnEvent, Failure>; 2] {
    [Ok(text("a")), Ok(finished())]
}

fn failed(kind: FailureKind, seconds: u64) -> Failure {
    Failure {
        retry_after: Some(Duration::from_secs(seconds)),
        ..Failure::new(kind, "It failed.")
    }
}

#[tokio::test(start_paused = true)]
async fn turn_that_fails_before_its_answer_goes_on_with_the_next_sign_in() {
    for kind in [
        FailureKind::RateLimited,
        FailureKind::Overloaded,
        FailureKind::SignIn,
        FailureKind::Upstream,
        FailureKind::UnknownModel,
    ] {
        let fixture = SignInsFixture::in_order();
        fixture.script(0, [Err(failed(kind, 1))]);
        fixture.script(1, answered());
        assert_eq!(fixture.run().await.as_deref(), Ok("second"), "{kind:?}");
        assert_eq!((fixture.served(0), fixture.served(1)), (1, 1));
        fixture.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn turn_is_not_moved_for_its_own_fault_or_after_its_answer_has_begun() {
    for kind in [
        FailureKind::InvalidRequest,
        FailureKind::ContextTooLong,
        FailureKind::TimedOut,
    ] {
        let fixture = SignInsFixture::in_order();
        fixture.script(0, [Err(failed(kind, 1))]);
        assert_eq!(fixture.run().await, Err(failed(kind, 1).into()));
        assert_eq!(fixture.served(1), 0, "{kind:?}");
        fixture.end().await;
    }
    let fixture = SignInsFixture::in_order();
    let overloaded = failed(FailureKind::Overloaded, 1);
    fixture.script(0, [Ok(text("a")), Err(overloaded.clone())]);
    assert_eq!(fixture.run().await, Err(overloaded.into()));
    assert_eq!(fixture.served(1), 0);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn limited_sign_in_is_not_asked_until_its_window_begins_again() {
    let fixture = SignInsFixture::in_order();
    fixture.script(0, [Err(failed(FailureKind::RateLimited, 25_000))]);
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(400)).await;
        fixture.script(1, answered());
        assert_eq!(fixture.run().await.as_deref(), Ok("second"));
    }
    assert_eq!(fixture.served(0), 1, "the limit is known after one turn");
    assert!(fixture.gateway.readiness().problems.is_empty());
    tokio::time::advance(Duration::from_secs(25_001)).await;
    fixture.script(0, answered());
    assert_eq!(fixture.run().await.as_deref(), Ok("first"));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn sign_in_that_serves_again_gets_the_turn_that_it_was_passed_over_for() {
    let fixture = SignInsFixture::in_order();
    fixture.script(0, [Err(failed(FailureKind::RateLimited, 10))]);
    fixture.script(1, answered());
    assert_eq!(fixture.run().await.as_deref(), Ok("second"));
    // Begins while the first one is limited, and fails once that has ended.
    fixture.script(1, [Err(failed(FailureKind::Overloaded, 0))]);
    let running = fixture.gateway.run(caller(), turn("haiku")).await.unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    fixture.script(0, answered());
    assert_eq!(answer(running).await.as_deref(), Ok("first"));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn refused_sign_in_is_asked_once_and_by_probes_alone() {
    let fixture = SignInsFixture::in_order();
    fixture.script(0, [Err(Failure::new(FailureKind::SignIn, "Dead."))]);
    for _ in 0..5 {
        fixture.script(1, answered());
        assert_eq!(fixture.run().await.as_deref(), Ok("second"));
    }
    assert_eq!(fixture.served(0), 1);
    let readiness = fixture.gateway.readiness();
    assert!(readiness.problems.is_empty(), "{readiness:?}");
    assert!(readiness.sign_ins[0].problems[0].starts_with("Dead."));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn limit_of_all_sign_ins_names_the_earliest_reset() {
    let fixture = SignInsFixture::in_order();
    fixture.script(0, [Err(failed(FailureKind::RateLimited, 60))]);
    fixture.script(1, [Err(failed(FailureKind::RateLimited, 100))]);
    for _ in 0..2 {
        let Err(Error::Failed(failure)) = fixture.run().await else {
            panic!("not limited")
        };
        let wait = Some(Duration::from_secs(60));
        assert_eq!(
            (failure.kind, failure.retry_after),
            (FailureKind::RateLimited, wait)
        );
    }
    assert_eq!((fixture.served(0), fixture.served(1)), (1, 1));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn sign_in_whose_workers_die_twice_is_left() {
    let fixture = SignInsFixture::in_order();
    let died = || Failure::new(FailureKind::Crashed, "Gone.");
    fixture.script(0, [Err(died()), Err(died())]);
    fixture.script(1, answered());
    assert_eq!(fixture.run().await.as_deref(), Ok("second"));
    assert_eq!((fixture.served(0), fixture.served(1)), (2, 1));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn limit_of_one_sign_in_is_told_when_the_workers_of_the_last_one_die() {
    let fixture = SignInsFixture::in_order();
    let died = || Failure::new(FailureKind::Crashed, "Gone.");
    let limited = failed(FailureKind::RateLimited, 60);
    fixture.script(0, [Err(limited.clone())]);
    fixture.script(1, [Err(died()), Err(died())]);
    assert_eq!(fixture.run().await, Err(limited.into()));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn turn_that_finds_no_worker_goes_on_with_the_next_sign_in() {
    let fixture = SignInsFixture::in_order();
    // Holds the only worker of the first one.
    let held = fixture.gateway.run(caller(), turn("haiku")).await.unwrap();
    fixture.script(1, answered());
    assert_eq!(fixture.run().await.as_deref(), Ok("second"));
    drop(held);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn key_uses_the_sign_ins_that_it_is_bound_to() {
    let bound = SignInUse {
        keys: vec!["other".to_owned()],
        ..at(2)
    };
    let fixture = SignInsFixture::open([("first", at(1)), ("second", bound.clone())]);
    let limited = failed(FailureKind::RateLimited, 100);
    fixture.script(0, [Err(limited.clone())]);
    assert_eq!(
        fixture.run().await,
        Err(limited.into()),
        "it may use no other"
    );
    fixture.script(1, answered());
    let other = Caller::named("other");
    // Requests of the two are not answered together.
    let variant = |caller: &Caller| fixture.gateway.sign_in_variant(caller);
    assert_eq!(variant(&other), 0, "all sign-ins");
    assert_ne!(variant(&caller()), 0);
    let running = fixture.gateway.run(other, turn("haiku")).await.unwrap();
    assert_eq!(answer(running).await.as_deref(), Ok("second"));
    fixture.end().await;
    let fixture = SignInsFixture::open([("second", bound)]);
    let refused = fixture.gateway.preflight(&caller(), &turn("haiku"));
    assert!(matches!(refused, Err(Error::NotSignedIn(_))), "{refused:?}");
    assert!(matches!(fixture.run().await, Err(Error::NotSignedIn(_))));
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn preflight_asks_the_sign_ins_of_the_model_alone() {
    let serving = |models: &str| SignInUse {
        models: vec![models.to_owned()],
        ..at(1)
    };
    let fixture = SignInsFixture::open([
        ("first", serving("claude-opus-*")),
        ("second", serving("claude-haiku-*")),
    ]);
    let limited = failed(FailureKind::RateLimited, 60);
    fixture.script(1, [Err(limited.clone())]);
    assert_eq!(fixture.run().await, Err(limited.into()));
    // The worker that told the models is reset.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let preflight = |model| fixture.gateway.preflight(&caller(), &turn(model));
    assert!(matches!(preflight("haiku"), Err(Error::Failed(_))));
    assert_eq!(preflight("claude-opus-5-5"), Ok(()));
    let unserved = preflight("claude-sonnet-5-5");
    assert!(
        matches!(unserved, Err(Error::NotSignedIn(_))),
        "{unserved:?}"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn conversation_stays_with_the_sign_in_that_it_began_with() {
    let fixture = SignInsFixture::open([("first", at(1)), ("second", at(1))]);
    let mut used = [0, 0];
    for number in 0..20 {
        let mut asked = turn("haiku");
        asked.prompt = vec![Part::text(format!("question {number}"))];
        let mut before = None;
        for _ in 0..3 {
            fixture.script(0, answered());
            fixture.script(1, answered());
            let running = fixture.gateway.run(caller(), asked.clone()).await.unwrap();
            let name = answer(running).await.unwrap();
            // The script of the other one is left over.
            for script in &fixture.scripts {
                script.0.lock().unwrap().events.clear();
            }
            assert_eq!(before.get_or_insert_with(|| name.clone()), &name);
            used[usize::from(name == "second")] += 1;
            let prompt = std::mem::replace(&mut asked.prompt, vec![Part::text("and then?")]);
            let message = |role, parts| Message { role, parts };
            asked.history.push(message(Role::User, prompt));
            let answer = vec![Part::text("a")];
            asked.history.push(message(Role::Assistant, answer));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(used[0] > 0 && used[1] > 0, "{used:?}");
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn moved_turn_is_held_and_charged_once() {
    let admission = testing::admission_deps().await;
    let fixture = SignInsFixture::in_order();
    fixture.script(0, [Err(failed(FailureKind::RateLimited, 100))]);
    fixture.script(1, answered());
    let cost = Money::from_nanos(7);
    fixture.scripts[1].0.lock().unwrap().costs.push_back(cost);
    let (name, charges) = fixture.run_charged(admission).await;
    assert_eq!((name.as_str(), charges.len()), ("second", 1), "{charges:?}");
    assert_eq!(charges[0].sign_in.as_deref(), Some("second"));
    assert_eq!(charges[0].amount.money, cost);
}

#[tokio::test]
async fn fallback_is_charged_to_the_sign_in_that_answers_it() {
    let rule = FallbackRule {
        on: vec![FallbackCause::Overload],
        to: vec![FallbackTarget::model("claude-opus-5-5")],
        models: Vec::new(),
        keys: Vec::new(),
    };
    let fallbacks = FallbackConfig {
        list: vec![rule],
        ..FallbackConfig::default()
    };
    let admission = AdmissionDeps {
        router: Arc::new(routing::testing::router().with_fallbacks(fallbacks)),
        ..testing::admission_deps().await
    };
    let serving = |models: &str| SignInUse {
        models: vec![models.to_owned()],
        ..at(1)
    };
    let fixture = SignInsFixture::open([
        ("first", serving("claude-haiku-*")),
        ("second", serving("claude-opus-*")),
    ]);
    fixture.script(0, [Err(failed(FailureKind::Overloaded, 1))]);
    fixture.script(1, answered());
    let (name, charges) = fixture.run_charged(admission).await;
    assert_eq!((name.as_str(), charges.len()), ("second", 1), "{charges:?}");
    assert_eq!(charges[0].sign_in.as_deref(), Some("second"));
}

#[test]
fn plan_is_told_to_the_keys_and_projects_that_may_read_it() {
    let is_told = |readers: &[&str]| {
        let readers = readers.iter().map(|reader| (*reader).to_owned());
        let sign_ins = SignIns::<Scripted>::missing("none".to_owned());
        let sign_ins = sign_ins.with_plan_readers(readers.collect());
        let caller = Caller {
            project: "project_1".to_owned(),
            project_name: Some("web".into()),
            ..Caller::named("key-1")
        };
        sign_ins.tells_plan_to(&caller)
    };
    for reader in ["*", "key-1", "project_1", "web"] {
        assert!(is_told(&[reader]), "{reader}");
    }
    assert!(!is_told(&["key-2"]));
    assert!(!is_told(&[]));
}
