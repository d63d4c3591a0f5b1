//! Turns that fall back to a sign-in, or to a model of another server.

use tokio::time::advance;
use tokio::time::timeout;

use super::*;
use crate::accounts::ledger::ChargedFallback;
use crate::accounts::ledger::ListedCharge;
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::engine::routing;
use crate::engine::routing::FallbackCause;
use crate::engine::routing::FallbackConfig;
use crate::engine::routing::FallbackModel;
use crate::engine::routing::FallbackRule;
use crate::engine::routing::FallbackTarget;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Maximum wait for a run or a call to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// Call of another server that the test scripts.
struct Call {
    upstream: String,
    model: String,
    events: UnboundedSender<Result<TurnEvent, Error>>,
    cost_meter: CostMeter,
}

/// Other servers whose calls the test scripts. They have each model but `gone`.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl OtherModels for Calls {
    fn fit(&self, _: &str, turn: &Turn) -> Result<ModelFit, Error> {
        if turn.model.as_str() == "gone" {
            return Err(Error::UnknownModel("gone".to_owned()));
        }
        Ok(ModelFit {
            model: turn.model.to_string(),
            left_out: vec!["top_k".to_owned()],
            repaired: Vec::new(),
            runs: 1,
        })
    }

    fn estimate(&self, _: &str, _: &Turn, prompt_tokens: u64) -> Amount {
        Amount {
            tokens: prompt_tokens + 50,
            money: Money::from_nanos(1000),
        }
    }

    fn run_gated<'a>(
        &'a self,
        upstream: &'a str,
        gate: Gate,
        turn: Turn,
    ) -> BoxFuture<'a, Result<RunningTurn, Error>> {
        Box::pin(async move {
            gate.wait_until_open().await;
            let (events, received) = mpsc::unbounded();
            let cost_meter = CostMeter::default();
            let model = turn.model.to_string();
            let running = RunningTurn {
                costs: cost_meter.reader(),
                ..RunningTurn::new(TurnInfo::for_model(&model), Box::pin(received))
            };
            self.0.lock().unwrap().push(Call {
                upstream: upstream.to_owned(),
                model,
                events,
                cost_meter,
            });
            Ok(running)
        })
    }
}

impl Calls {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits for a call.
    async fn next(&self) -> Call {
        let next = async {
            loop {
                if let Some(call) = self.0.lock().unwrap().pop() {
                    return call;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, next).await.unwrap()
    }
}

impl Call {
    fn send(&self, event: Result<TurnEvent, Error>) {
        self.events.unbounded_send(event).unwrap();
    }

    /// Begins an answer, and records what it has used and costs.
    fn begin(&self, nanos: i64) {
        let usage = Usage {
            input_tokens: 100,
            output_tokens: 20,
            ..Usage::default()
        };
        self.send(Ok(TurnEvent::started(self.model.clone(), Usage::default())));
        self.cost_meter.set_under_way(true);
        self.cost_meter.record_usage(usage);
        self.cost_meter.record_final_cost(Money::from_nanos(nanos));
    }

    /// Yields a complete answer that costs `nanos`.
    fn answer(&self, nanos: i64) {
        self.begin(nanos);
        self.send(Ok(TurnEvent::Text("Hello".to_owned())));
        self.send(Ok(finished()));
    }

    /// Fails before the answer begins, with the cost `nanos` of a call that was upstream.
    fn fail(&self, nanos: i64) {
        self.cost_meter.set_under_way(true);
        self.cost_meter.record_final_cost(Money::from_nanos(nanos));
        self.send(failed(FailureKind::Upstream));
    }
}

fn failed(kind: FailureKind) -> Result<TurnEvent, Error> {
    Err(Failure::new(kind, "It failed.").into())
}

/// Returns the target of a model of the server `other`.
fn elsewhere(model: &str) -> FallbackTarget {
    FallbackTarget {
        upstream: Some("other".to_owned()),
        ..FallbackTarget::model(model)
    }
}

/// Pipeline in which `to` answers on `causes`, in order, with its calls of other servers.
async fn setting(causes: &[FallbackCause], to: Vec<FallbackTarget>) -> (Setting, Calls) {
    setting_with(causes, to, testing::admission_deps().await)
}

fn setting_with(
    causes: &[FallbackCause],
    to: Vec<FallbackTarget>,
    admission: AdmissionDeps,
) -> (Setting, Calls) {
    let rule = FallbackRule {
        on: causes.to_vec(),
        to,
        models: Vec::new(),
        keys: Vec::new(),
    };
    let fallbacks = FallbackConfig {
        max_tries: 2,
        list: vec![rule],
        ..FallbackConfig::default()
    };
    let router = routing::testing::router().with_fallbacks(fallbacks);
    let mut setting = Setting::with(AdmissionDeps {
        router: Arc::new(router),
        ..admission
    });
    let calls = Calls::default();
    setting.pipeline.others = Some(Arc::new(calls.clone()));
    (setting, calls)
}

/// Ends the run that began last with an overload, which costs nothing.
fn overload(setting: &Setting) {
    let run = setting.runs.take();
    run.cost_meter.record_cost(Money::ZERO);
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
}

/// Waits for a run of the gateway.
async fn next_run(setting: &Setting) -> Run {
    let next = async {
        while setting.runs.count() == 0 {
            tokio::task::yield_now().await;
        }
        setting.runs.take()
    };
    timeout(PATIENCE, next).await.unwrap()
}

async fn charges(setting: &Setting) -> Vec<ListedCharge> {
    setting.ledger.reader().charges().await.unwrap()
}

#[tokio::test]
async fn overloaded_model_is_answered_by_another_server_under_one_hold_and_charge() {
    let (setting, calls) = setting(&[FallbackCause::Overload], vec![elsewhere("c")]).await;
    let caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let info = running.info.clone();
    overload(&setting);
    let answering = async { calls.next().await.answer(40) };
    let (events, ()) = futures::join!(read(running), answering);
    assert_eq!(cost(&events), Some(40));
    let starts = events
        .iter()
        .filter(|event| matches!(event, Ok(TurnEvent::Started { model, .. }) if model == "c"));
    assert_eq!(starts.count(), 1);
    let facts = info.fallback.facts().unwrap();
    assert_eq!(facts.header_value(), "c; on=overload; upstream=other");
    assert_eq!(info.all_left_out(), ["top_k"]);
    let charges = charges(&setting).await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].model, "c");
    assert_eq!(charges[0].amount.money.nanos(), 40);
    let told = ChargedFallback {
        asked_model: "m".to_owned(),
        cause: "overload".to_owned(),
    };
    assert_eq!(charges[0].fallback.as_deref(), Some(&told));
    assert_eq!(setting.used(&caller).await, 120);
}

#[tokio::test]
async fn turn_falls_back_to_its_own_model_on_the_sign_in_that_is_named() {
    let cloud = FallbackTarget {
        sign_in: Some("cloud".to_owned()),
        ..FallbackTarget::default()
    };
    let (setting, _) = setting(&[FallbackCause::Overload], vec![cloud]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let first = setting.runs.take();
    assert_eq!(first.sign_in, None);
    first
        .events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let answering = async {
        let run = next_run(&setting).await;
        run.answer(7);
        (run.turn.model.to_string(), run.sign_in.clone())
    };
    let (events, run) = futures::join!(read(running), answering);
    assert_eq!(run, ("m".to_owned(), Some("cloud".into())));
    assert!(events.iter().all(Result::is_ok), "{events:?}");
}

#[tokio::test]
async fn answer_of_another_server_is_not_cached_for_the_requested_model() {
    let (setting, calls) = setting(&[FallbackCause::Overload], vec![elsewhere("c")]).await;
    let caller = Caller::named("a");
    let running = setting.ask(&caller, turn("m", Some(0.0))).await.unwrap();
    overload(&setting);
    let answering = async { calls.next().await.answer(40) };
    futures::join!(read(running), answering);
    let running = setting.ask(&caller, turn("m", Some(0.0))).await.unwrap();
    assert_eq!(running.info.cache, Some(CacheStatus::Miss));
}

#[tokio::test]
async fn nearly_spent_budget_chooses_another_server_at_once() {
    let (setting, calls) = setting(&[FallbackCause::Budget], vec![elsewhere("c")]).await;
    let caller = capped_in_money("a", 100_000);
    ledger::testing::spend(&setting.ledger, &caller, Money::from_nanos(95_000)).await;
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let facts = running.info.fallback.facts().unwrap();
    assert_eq!(
        (facts.model.as_str(), facts.cause),
        ("c", FallbackCause::Budget)
    );
    let call = calls.next().await;
    assert_eq!(
        (call.upstream.as_str(), call.model.as_str()),
        ("other", "c")
    );
    call.answer(40);
    assert_eq!(cost(&read(running).await), Some(40));
    assert_eq!(setting.runs.count(), 0);
}

#[tokio::test]
async fn turn_that_the_preflight_refuses_goes_to_another_server() {
    let metrics = Metrics::new();
    let admission = AdmissionDeps {
        metrics: metrics.turns.clone(),
        ..testing::admission_deps().await
    };
    let to = vec![elsewhere("c")];
    let (setting, calls) = setting_with(&[FallbackCause::Overload], to, admission);
    let running = setting
        .ask(&Caller::named("a"), turn("full", None))
        .await
        .unwrap();
    assert_eq!(running.info.model, "c");
    calls.next().await.answer(40);
    assert_eq!(cost(&read(running).await), Some(40));
    assert_eq!(setting.charged().await, (1, 120, 40));
    assert_eq!(setting.runs.count(), 0);
    let counted = r#"switchboard_fallbacks_total{cause="overload",place="upstream"} 1"#;
    assert_series(&metrics, &[counted]);
}

#[tokio::test]
async fn entries_that_cannot_answer_do_not_count_as_tries() {
    let gone = || elsewhere("gone");
    let to = vec![gone(), gone(), gone(), elsewhere("c")];
    let (setting, calls) = setting(&[FallbackCause::Overload], to).await;
    let running = setting
        .ask(&Caller::named("a"), turn("full", None))
        .await
        .unwrap();
    calls.next().await.answer(40);
    assert_eq!(cost(&read(running).await), Some(40));
}

#[tokio::test]
async fn broken_server_is_followed_by_the_next_model_for_the_same_cause() {
    let to = vec![elsewhere("c"), FallbackTarget::model("alias")];
    let (setting, calls) = setting(&[FallbackCause::Overload], to).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    overload(&setting);
    let answering = async {
        // A free call stays free although its prompt was upstream.
        calls.next().await.fail(0);
        next_run(&setting).await.answer(7);
    };
    let (events, ()) = futures::join!(read(running), answering);
    assert_eq!(cost(&events), Some(7));
    assert_eq!(setting.charged().await, (1, 120, 7));
}

#[tokio::test]
async fn failure_of_the_last_server_is_the_error_of_the_turn() {
    let (setting, calls) = setting(&[FallbackCause::Overload], vec![elsewhere("c")]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    overload(&setting);
    let answering = async { calls.next().await.fail(5) };
    let (events, ()) = futures::join!(read(running), answering);
    let [Err(Error::Failed(failure))] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(failure.kind, FailureKind::Upstream);
    setting.rest().await;
    assert_eq!(setting.charged().await.2, 5);
    assert_eq!((calls.count(), setting.runs.count()), (0, 0));
}

#[tokio::test]
async fn free_answer_of_another_server_that_breaks_off_stays_free() {
    let (setting, calls) = setting(&[FallbackCause::Overload], vec![elsewhere("c")]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("full", None))
        .await
        .unwrap();
    let call = calls.next().await;
    call.begin(0);
    call.send(failed(FailureKind::Upstream));
    let events = read(running).await;
    assert!(events.len() == 2 && events[1].is_err(), "{events:?}");
    setting.rest().await;
    assert_eq!(setting.charged().await, (1, 120, 0));
}

#[tokio::test(start_paused = true)]
async fn try_that_is_given_up_is_paid_at_the_price_of_its_own_model() {
    let prices = Prices::new(pricing::Config {
        models: [
            (
                "m-1".to_owned(),
                "input 0.003, output 0.015, cache write 0.003, cache read 0.003"
                    .parse()
                    .unwrap(),
            ),
            (
                "dear".to_owned(),
                "input 3, output 15, cache write 3, cache read 3"
                    .parse()
                    .unwrap(),
            ),
        ]
        .into(),
        assumed_output_tokens: 10,
        image_tokens: 10,
        document_tokens: 10,
        web_search: Money::ZERO,
    });
    let prompt_tokens = prices.prompt_tokens(&turn("m", None));
    let admission = AdmissionDeps {
        prices: Arc::new(prices),
        ..testing::admission_deps().await
    };
    let to = vec![elsewhere("dear")];
    let (setting, calls) = setting_with(&[FallbackCause::Timeout], to, admission);
    let mut running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    assert!(futures::poll!(running.events.next()).is_pending());
    let late = setting.runs.take();
    late.cost_meter.set_under_way(true);
    advance(FallbackConfig::default().timeout + Duration::from_secs(1)).await;
    assert!(futures::poll!(running.events.next()).is_pending());
    late.cost_meter.record_cost(Money::ZERO);
    calls.next().await.answer(40);
    let paid = 40 + 3 * i64::try_from(prompt_tokens).unwrap();
    assert_eq!(cost(&read(running).await), Some(paid));
}

#[tokio::test]
async fn fallback_that_never_answers_a_caller_has_a_reason() {
    let to = vec![elsewhere("c")];
    let (setting, _) = setting(&[FallbackCause::Overload], to).await;
    let grant = Grant {
        models: Some(vec!["m".to_owned(), "c".to_owned(), "gone".to_owned()]),
        ..Grant::default()
    };
    let caller = granted("a", grant);
    let refusal = |target: FallbackTarget| {
        let fallback = FallbackModel {
            model: ModelName::new(target.model.unwrap_or_default()),
            causes: vec![FallbackCause::Overload],
            sign_in: target.sign_in,
            upstream: target.upstream,
        };
        setting.pipeline.fallback_refusal(&caller, &fallback)
    };
    assert!(refusal(FallbackTarget::model("m")).is_none());
    assert!(refusal(elsewhere("c")).is_none());
    let forbidden = refusal(FallbackTarget::model("full"));
    assert!(matches!(forbidden, Some(Error::ForbiddenModel(_))));
    let unknown = refusal(elsewhere("gone"));
    assert!(matches!(unknown, Some(Error::UnknownModel(_))));
}
