//! Turns that other models answer in place of their own.

use tokio::time::advance;
use tokio::time::timeout;

use super::*;
use crate::engine::gateway::FallbackFacts;
use crate::engine::routing;
use crate::engine::routing::FallbackCause;
use crate::engine::routing::FallbackConfig;
use crate::engine::routing::FallbackRule;
use crate::engine::routing::FallbackTarget;

/// Maximum wait for a run to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pipeline in which `to` answers on `causes`, in order.
async fn setting(causes: &[FallbackCause], to: &[&str]) -> Setting {
    let rule = FallbackRule {
        on: causes.to_vec(),
        to: to.iter().map(|name| FallbackTarget::model(*name)).collect(),
        models: Vec::new(),
        keys: Vec::new(),
    };
    let fallbacks = FallbackConfig {
        list: vec![rule],
        ..FallbackConfig::default()
    };
    let router = routing::testing::router().with_fallbacks(fallbacks);
    Setting::with(AdmissionDeps {
        router: Arc::new(router),
        ..testing::admission_deps().await
    })
}

fn failed(kind: FailureKind) -> Result<TurnEvent, Error> {
    Err(Failure::new(kind, "It failed.").into())
}

/// Reads `running` while the next run answers at a cost of 7 nano-dollars. Returns the model of the
/// run with the events.
async fn read_with_next_run(
    setting: &Setting,
    running: RunningTurn,
) -> (String, Vec<Result<TurnEvent, Error>>) {
    let answering = async {
        while setting.runs.count() == 0 {
            tokio::task::yield_now().await;
        }
        let run = setting.runs.take();
        run.answer(7);
        run.turn.model.to_string()
    };
    let both = async { futures::join!(answering, read(running)) };
    timeout(PATIENCE, both).await.unwrap()
}

fn taken(info: &TurnInfo) -> Option<(String, FallbackCause)> {
    let facts: FallbackFacts = info.fallback.facts()?;
    Some((facts.model, facts.cause))
}

#[tokio::test]
async fn overloaded_model_is_replaced_before_its_run_begins() {
    let setting = setting(&[FallbackCause::Overload], &["m"]).await;
    let running = setting.ask(&Caller::named("a"), turn("busy", None)).await;
    let running = running.unwrap();
    assert_eq!(
        taken(&running.info),
        Some(("m".to_owned(), FallbackCause::Overload))
    );
    let (model, events) = read_with_next_run(&setting, running).await;
    assert_eq!((model.as_str(), cost(&events)), ("m", Some(7)));
    assert_eq!(setting.charged().await, (1, 120, 7));
}

#[tokio::test]
async fn overload_before_the_first_event_is_answered_by_the_other_model_and_charged_once() {
    let setting = setting(&[FallbackCause::Overload], &["alias"]).await;
    let caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let info = running.info.clone();
    assert_eq!(taken(&info), None);
    let run = setting.runs.take();
    run.cost_meter.record_cost(Money::from_nanos(3));
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let (model, events) = read_with_next_run(&setting, running).await;
    assert_eq!(model, "alias");
    assert!(events.iter().all(Result::is_ok), "{events:?}");
    // The failed try is part of the one charge.
    assert_eq!(
        (cost(&events), setting.charged().await),
        (Some(10), (1, 120, 10))
    );
    assert_eq!(setting.used(&caller).await, 120);
    assert_eq!(
        taken(&info),
        Some(("m-1".to_owned(), FallbackCause::Overload))
    );
}

#[tokio::test]
async fn sign_in_of_the_model_that_answers_is_told() {
    let setting = setting(&[FallbackCause::Overload], &["signed-b"]).await;
    let caller = Caller::named("a");
    let running = setting.ask(&caller, turn("signed-a", None)).await.unwrap();
    let info = running.info.clone();
    assert_eq!(info.sign_in.name().as_deref(), Some("signed-a"));
    let run = setting.runs.take();
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let (model, _) = read_with_next_run(&setting, running).await;
    assert_eq!(model, "signed-b");
    assert_eq!(info.sign_in.name().as_deref(), Some("signed-b"));
}

#[tokio::test]
async fn answer_that_has_begun_is_never_continued_by_another_model() {
    let setting = setting(&[FallbackCause::Overload], &["alias"]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let events = read(running).await;
    assert_eq!((events.len(), setting.runs.count()), (2, 0));
    assert!(events[0].is_ok() && events[1].is_err());
}

#[tokio::test]
async fn other_causes_and_refusing_clients_get_the_error() {
    let setting = setting(&[FallbackCause::Limit], &["alias"]).await;
    let caller = Caller::named("a");
    assert!(setting.ask(&caller, turn("busy", None)).await.is_err());
    let refusing = Caller {
        refuses_fallbacks: true,
        ..caller
    };
    let running = setting.ask(&refusing, turn("m", None)).await.unwrap();
    let run = setting.runs.take();
    run.events
        .unbounded_send(failed(FailureKind::RateLimited))
        .unwrap();
    assert!(read(running).await[0].is_err());
    assert_eq!(setting.runs.count(), 0);
}

#[tokio::test]
async fn models_are_tried_in_order_and_the_last_error_is_returned() {
    let setting = setting(&[FallbackCause::Overload], &["busy", "alias"]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let (model, events) = read_with_next_run(&setting, running).await;
    assert_eq!((model.as_str(), cost(&events)), ("alias", Some(7)));
    let running = setting
        .ask(&Caller::named("a"), turn("alias", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    let events = read(running).await;
    assert!(matches!(&events[..], [Err(Error::Failed(_))]), "{events:?}");
}

#[tokio::test]
async fn refusal_without_content_is_answered_by_the_other_model() {
    let setting = setting(&[FallbackCause::Refusal], &["alias"]).await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    let refusal = Finish::new(FinishReason::ContentFilter, Usage::default());
    run.say(TurnEvent::Finished(refusal));
    let (model, events) = read_with_next_run(&setting, running).await;
    assert_eq!(model, "alias");
    let starts = events
        .iter()
        .filter(|event| matches!(event, Ok(TurnEvent::Started { .. })));
    assert_eq!(starts.count(), 1);
    // Once a word was said, the refusal is the answer.
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.say(TurnEvent::Text("No".to_owned()));
    let refusal = Finish::new(FinishReason::ContentFilter, Usage::default());
    run.say(TurnEvent::Finished(refusal));
    assert_eq!((read(running).await.len(), setting.runs.count()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_given_up_for_the_other_model() {
    let setting = setting(&[FallbackCause::Timeout], &["alias"]).await;
    let mut running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    assert!(futures::poll!(running.events.next()).is_pending());
    advance(FallbackConfig::default().timeout + Duration::from_secs(1)).await;
    assert!(futures::poll!(running.events.next()).is_pending());
    assert_eq!(setting.runs.count(), 2);
    let second = setting.runs.take();
    let first = setting.runs.take();
    assert!(first.events.is_closed(), "the late run is cancelled");
    second.answer(7);
    assert_eq!(cost(&read(running).await), Some(7));
}

#[tokio::test(start_paused = true)]
async fn prompt_of_a_late_call_is_paid_though_the_cli_reports_no_cost() {
    let setting = setting(&[FallbackCause::Timeout], &["alias"]).await;
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
    setting.runs.take().answer(7);
    let paid = cost(&read(running).await);
    assert!(paid > Some(7), "{paid:?}");
    assert!(setting.estimated_tokens().await > 0);
}

#[tokio::test]
async fn hold_covers_all_tries_that_may_be_paid() {
    for (cause, tries) in [
        (FallbackCause::Overload, 1),
        (FallbackCause::Refusal, 2),
        (FallbackCause::Timeout, 2),
    ] {
        let setting = setting(&[cause], &["alias"]).await;
        let caller = capped("a", 10_000);
        let refusing = Caller {
            refuses_fallbacks: true,
            ..caller.clone()
        };
        let _alone = setting.ask(&refusing, turn("m", None)).await.unwrap();
        let held = setting.used(&caller).await;
        assert!(held > 0);
        let _both = setting.ask(&caller, turn("m", None)).await.unwrap();
        let all = setting.used(&caller).await;
        assert_eq!(all, held + tries * held, "{cause:?}");
    }
}

#[tokio::test]
async fn nearly_spent_budget_chooses_the_other_model_at_once() {
    let setting = setting(&[FallbackCause::Budget], &["alias"]).await;
    let caller = capped_in_money("a", 100_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    assert_eq!(taken(&running.info), None);
    assert_eq!(setting.runs.take().turn.model.as_str(), "m");
    drop(running);
    setting.rest().await;
    ledger::testing::spend(&setting.ledger, &caller, Money::from_nanos(95_000)).await;
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    assert_eq!(
        taken(&running.info),
        Some(("m-1".to_owned(), FallbackCause::Budget))
    );
    assert_eq!(setting.runs.take().turn.model.as_str(), "alias");
}

#[tokio::test]
async fn answer_of_another_model_is_not_cached_for_the_requested_one() {
    let setting = setting(&[FallbackCause::Overload], &["alias"]).await;
    let caller = Caller::named("a");
    let cacheable = || turn("m", Some(0.0));
    let running = setting.ask(&caller, cacheable()).await.unwrap();
    let run = setting.runs.take();
    run.events
        .unbounded_send(failed(FailureKind::Overloaded))
        .unwrap();
    read_with_next_run(&setting, running).await;
    let running = setting.ask(&caller, cacheable()).await.unwrap();
    assert_eq!(running.info.cache, Some(CacheStatus::Miss));
    setting.runs.take().answer(7);
    read(running).await;
    let again = setting.ask(&caller, cacheable()).await.unwrap();
    assert_eq!(again.info.cache, Some(CacheStatus::Hit));
}

#[tokio::test]
async fn key_falls_back_only_to_models_that_it_may_use() {
    let setting = setting(&[FallbackCause::Overload], &["alias"]).await;
    let grant = Grant {
        models: Some(vec!["busy".to_owned()]),
        ..Grant::default()
    };
    let refused = setting.ask(&granted("a", grant), turn("busy", None)).await;
    assert!(matches!(refused, Err(Error::Failed(_))));
    assert_eq!(setting.runs.count(), 0);
}
