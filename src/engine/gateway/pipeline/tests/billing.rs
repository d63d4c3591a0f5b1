//! Billing of runs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::domain::Format;
use crate::telemetry::logs::ErrorChain;

/// Minimum hold for `turn(..)`: 50 tokens for the call, some for the text, 50 for the answer.
const ESTIMATE: u64 = 100;

#[tokio::test]
async fn answer_is_charged_at_the_cost_reported_by_its_worker() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    assert!(setting.used(&caller).await >= ESTIMATE, "it is held before");
    setting.runs.take().answer(777);
    assert_eq!(cost(&read(running).await), Some(777));
    assert_eq!(setting.charged().await, (1, 120, 777));
    assert_eq!(setting.used(&caller).await, 120);
}

#[tokio::test]
async fn answer_that_may_be_repeated_is_held_twice() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let mut object = turn("m", None);
    object.sampling.format = Format::JsonObject;
    let _running = setting.ask(&caller, object).await.unwrap();
    assert!(setting.used(&caller).await >= 2 * ESTIMATE);
}

#[tokio::test]
async fn end_of_the_answer_waits_until_the_charge_is_on_disk() {
    let (ledger, gate) = ledger::testing::gated(testing::NOW).await;
    let setting = Setting::with(AdmissionDeps {
        ledger,
        ..testing::admission_deps().await
    });
    let mut running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    gate.close();
    setting.runs.take().answer(777);
    assert!(matches!(
        running.events.next().await,
        Some(Ok(TurnEvent::Started { .. }))
    ));
    assert!(matches!(
        running.events.next().await,
        Some(Ok(TurnEvent::Text(_)))
    ));
    assert!(futures::poll!(running.events.next()).is_pending());
    assert_eq!(setting.charged().await, (0, 0, 0));
    gate.open();
    assert!(matches!(
        running.events.next().await,
        Some(Ok(TurnEvent::Finished(_)))
    ));
    assert_eq!(setting.charged().await, (1, 120, 777));
}

#[tokio::test]
async fn turn_does_not_run_before_its_hold_is_taken() {
    let (ledger, gate) = ledger::testing::gated(testing::NOW).await;
    let setting = Setting::with(AdmissionDeps {
        ledger,
        ..testing::admission_deps().await
    });
    let capped = capped("a", 10_000);
    let uncapped = Caller::named("b");
    gate.close();
    let mut waiting = Box::pin(setting.ask(&capped, turn("m", None)));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(setting.runs.count(), 0);
    let mut free = Box::pin(setting.ask(&uncapped, turn("m", None)));
    assert!(futures::poll!(&mut free).is_pending());
    assert_eq!(
        setting.runs.count(),
        0,
        "no budget can be in the way of this one, but it could not be charged"
    );
    gate.open();
    assert!(waiting.await.is_ok() && free.await.is_ok());
    assert_eq!(setting.runs.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn turn_does_not_run_while_the_ledger_fails() {
    let (ledger, disk) = ledger::testing::faulty(testing::NOW).await;
    ledger.spawn_cleanup(&TaskTracker::new(), CancellationToken::new());
    let setting = Setting::with(AdmissionDeps {
        ledger,
        ..testing::admission_deps().await
    });
    let running = setting
        .ask(&capped("a", 10_000), turn("m", None))
        .await
        .unwrap();
    disk.fill(true);
    for caller in [capped("a", 10_000), Caller::named("b")] {
        let error = setting.ask(&caller, turn("m", None)).await.unwrap_err();
        assert!(matches!(error, Error::Ledger(_)), "{error:?}");
        assert_eq!(
            ErrorChain(&error).to_string(),
            "the ledger cannot be used: the ledger cannot be read or written: the disk is full: 0 MiB are free, 1 MiB are needed"
        );
    }
    assert_eq!(setting.pipeline.readiness().problems, [turns::UNWRITABLE]);
    // An answer that was paid for upstream reaches its client, and is charged later.
    setting.runs.0.lock().unwrap().remove(0).answer(5);
    assert_eq!(cost(&read(running).await), Some(5));
    assert_eq!(setting.charged().await, (0, 0, 0));
    disk.fill(false);
    while !setting.pipeline.readiness().problems.is_empty() || setting.charged().await.0 == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(setting.charged().await, (1, 120, 5));
    assert!(
        setting
            .ask(&Caller::named("b"), turn("m", None))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn turn_cancelled_in_the_queue_is_free_and_at_the_end_is_charged() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let mut queueing = Box::pin(setting.ask(&caller, turn("queue", None)));
    assert!(futures::poll!(&mut queueing).is_pending());
    assert!(setting.used(&caller).await >= ESTIMATE);
    drop(queueing);
    assert_eq!(setting.used(&caller).await, 0);
    // The whole answer has come, but its end was not read.
    let mut running = setting.ask(&caller, turn("m", None)).await.unwrap();
    setting.runs.take().answer(9);
    running.events.next().await;
    running.events.next().await;
    drop(running);
    setting.rest().await;
    assert_eq!(
        (setting.charged().await.0, setting.charged().await.2),
        (1, 9)
    );
}

#[tokio::test]
async fn price_table_is_used_when_the_worker_reports_no_cost() {
    let setting = Setting::new().await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.say(finished());
    // 100 tokens at 3 nano-dollars, 20 at 15.
    assert_eq!(cost(&read(running).await), Some(600));
    assert_eq!(setting.charged().await, (1, 120, 600));
}

#[tokio::test]
async fn concurrent_turns_run_only_within_the_budget() {
    let setting = Setting::new().await;
    let estimate = setting
        .pipeline
        .admission
        .prices
        .estimate("m", &turn("m", None))
        .tokens;
    let caller = capped("a", estimate * 7 + estimate - 1);
    let turns = (0..200).map(|_| setting.ask(&caller, turn("m", None)));
    let answered = futures::future::join_all(turns).await;
    let (running, refused): (Vec<_>, Vec<_>) = answered.into_iter().partition(Result::is_ok);
    assert_eq!((running.len(), setting.runs.count()), (7, 7));
    for refused in refused {
        assert!(matches!(refused, Err(Error::OverBudget(_))));
    }
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn cancelled_run_is_charged_at_its_final_cost() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let mut running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let run = setting.runs.take();
    run.begin();
    running.events.next().await;
    drop(running);
    assert_eq!(setting.charged().await, (0, 0, 0));
    assert!(
        setting.used(&caller).await >= ESTIMATE,
        "the hold lasts until it is known"
    );
    run.cost_meter.record_cost(Money::from_nanos(42));
    setting.rest().await;
    assert_eq!(setting.charged().await, (1, 100, 42));
    assert_eq!(setting.used(&caller).await, 100);
}

#[tokio::test(start_paused = true)]
async fn run_without_reported_cost_is_charged_by_its_events() {
    let setting = Setting::new().await;
    for is_known in [true, false] {
        let mut running = setting
            .ask(&Caller::named("a"), turn("m", None))
            .await
            .unwrap();
        let run = setting.runs.take();
        run.begin();
        run.say(TurnEvent::Text("x".repeat(41)));
        running.events.next().await;
        running.events.next().await;
        drop(running);
        // The worker dies, or the wait for its report times out.
        let held_run = is_known.then_some(run);
        setting.rest().await;
        setting.tracker.reopen();
        drop(held_run);
    }
    // Twice 100 tokens at 3 nano-dollars and 11 at 15.
    assert_eq!(setting.charged().await, (2, 222, 930));
}

/// Under load, the CLI reports the cost of an interrupted run after the end of the answer.
#[tokio::test(start_paused = true)]
async fn charge_by_the_price_table_is_corrected_by_a_late_report() {
    for is_reported in [true, false] {
        let setting = Setting::new().await;
        let running = setting
            .ask(&Caller::named("a"), turn("m", None))
            .await
            .unwrap();
        let run = setting.runs.take();
        run.begin();
        run.say(TurnEvent::Finished(Finish {
            stop_sequence: Some("END".to_owned()),
            ..match finished() {
                TurnEvent::Finished(finish) => finish,
                other => panic!("{other:?}"),
            }
        }));
        // 100 tokens at 3 nano-dollars and 20 at 15.
        assert_eq!(cost(&read(running).await), Some(600));
        assert_eq!(setting.charged().await, (1, 120, 600));
        if is_reported {
            run.cost_meter.record_cost(Money::from_nanos(42));
        }
        setting.rest().await;
        let cost = if is_reported { 42 } else { 600 };
        assert_eq!(setting.charged().await, (1, 120, cost));
        drop(run);
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_has_not_begun_is_free() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    assert!(setting.ask(&caller, turn("busy", None)).await.is_err());
    let failed = setting.ask(&caller, turn("m", None)).await.unwrap();
    let run = setting.runs.take();
    run.events
        .unbounded_send(Err(Failure::new(FailureKind::Overloaded, "busy").into()))
        .unwrap();
    run.cost_meter.record_cost(Money::ZERO);
    assert!(read(failed).await[0].is_err());
    drop(setting.ask(&caller, turn("m", None)).await.unwrap());
    drop(setting.runs.take());
    setting.rest().await;
    assert_eq!(
        (setting.charged().await, setting.used(&caller).await),
        ((0, 0, 0), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn run_that_fails_halfway_is_charged() {
    let setting = Setting::new().await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.events
        .unbounded_send(Err(Failure::new(FailureKind::Upstream, "broken").into()))
        .unwrap();
    run.cost_meter.record_cost(Money::from_nanos(5));
    assert!(read(running).await[1].is_err());
    setting.rest().await;
    assert_eq!(setting.charged().await, (1, 100, 5));
}

#[tokio::test]
async fn key_is_limited_to_its_models() {
    let setting = Setting::new().await;
    let grant = Grant {
        models: Some(vec!["haiku".to_owned()]),
        ..Grant::default()
    };
    let caller = Caller {
        grant: Arc::new(grant),
        ..Caller::named("a")
    };
    for (model, is_allowed) in [("haiku", true), ("opus", false), ("auto", false)] {
        let result = setting.ask(&caller, turn(model, None)).await;
        assert_eq!(
            !matches!(&result, Err(Error::ForbiddenModel(name)) if name == model),
            is_allowed
        );
        let counted = setting
            .pipeline
            .count_tokens(caller.clone(), turn(model, None))
            .await;
        assert_eq!(counted.is_ok(), is_allowed);
        let resolved = setting
            .pipeline
            .resolve(caller.clone(), turn(model, None))
            .await;
        assert_eq!(resolved.is_ok(), is_allowed);
    }
    let chosen = setting
        .pipeline
        .resolve(Caller::named("b"), turn("auto", None))
        .await;
    assert_eq!(chosen, Ok(ModelName::new("light")));
}

/// The count of searches comes with the end of an answer, which a client need not wait for.
#[tokio::test(start_paused = true)]
async fn web_searches_of_a_cancelled_answer_are_charged() {
    let mut cents = Vec::new();
    for searches in [0, 3] {
        let setting = Setting::new().await;
        let running = setting
            .ask(&Caller::named("a"), turn_with_web_search(None))
            .await
            .unwrap();
        let run = setting.runs.take();
        run.begin();
        for search in 0..searches {
            let tool = ServerTool::Call {
                id: search.to_string(),
                tool: CalledTool::Search,
            };
            run.say(TurnEvent::ServerBlock(ServerBlock {
                json: "{}".to_owned(),
                tool,
            }));
        }
        run.events
            .unbounded_send(Err(Failure::new(FailureKind::Upstream, "broken").into()))
            .unwrap();
        drop(run);
        assert!(read(running).await.last().unwrap().is_err());
        setting.rest().await;
        cents.push(setting.charged().await.2 / 10_000_000);
    }
    assert_eq!(cents[1] - cents[0], 3);
}

/// An unknown model counts as the most expensive one; an alias is resolved first.
#[tokio::test]
async fn hold_uses_the_price_of_the_model_behind_an_alias() {
    let price = |text: &str| text.parse().unwrap();
    let models = [
        (
            "m-1".to_owned(),
            price("input 1, output 1, cache write 1, cache read 1"),
        ),
        (
            "m-9".to_owned(),
            price("input 99, output 99, cache write 99, cache read 99"),
        ),
    ];
    let config = pricing::Config {
        models: models.into(),
        assumed_output_tokens: 10,
        image_tokens: 10,
        document_tokens: 10,
        web_search: Money::default(),
    };
    let rules = AdmissionDeps {
        prices: Arc::new(Prices::new(config)),
        ..testing::admission_deps().await
    };
    let setting = Setting::with(rules);
    let caller = capped_in_money("a", 500_000);
    let refused = setting.ask(&caller, turn("m-9", None)).await.map(drop);
    assert!(matches!(refused, Err(Error::OverBudget(_))), "{refused:?}");
    assert!(setting.ask(&caller, turn("alias", None)).await.is_ok());
}

/// A search costs a cent: the budget has room for four, and a turn without a limit may make five.
#[tokio::test]
async fn hold_includes_the_price_of_possible_web_searches() {
    let setting = Setting::new().await;
    let caller = capped_in_money("a", 45_000_000);
    for max_uses in [None, Some(5)] {
        let refused = setting
            .ask(&caller, turn_with_web_search(max_uses))
            .await
            .map(drop);
        assert!(matches!(refused, Err(Error::OverBudget(_))), "{max_uses:?}");
    }
    assert!(
        setting
            .ask(&caller, turn_with_web_search(Some(4)))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn nearly_used_budget_routes_to_the_cheaper_model() {
    let setting = Setting::new().await;
    let hard = || Turn {
        prompt: vec![Part::text("Debug this, please, and tell me why.")],
        ..turn("auto", None)
    };
    for (tokens, model) in [(100_000, "usual"), (900, "light")] {
        let running = setting.ask(&capped("a", tokens), hard()).await.unwrap();
        assert_eq!(
            running
                .info
                .route
                .map(|choice| choice.model.to_string())
                .as_deref(),
            Some(model)
        );
    }
}

fn tokens(output_tokens: u64) -> Usage {
    Usage {
        input_tokens: 100,
        output_tokens,
        ..Usage::default()
    }
}

/// The first of two runs has reported its cost; the second dies without a report.
#[tokio::test(start_paused = true)]
async fn cost_of_the_first_run_is_charged_when_the_second_dies() {
    let setting = Setting::new().await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.cost_meter.record_usage(tokens(20));
    run.cost_meter.record_cost(Money::from_nanos(5000));
    let second = run.cost_meter.add_run();
    second.record_usage(tokens(10));
    run.events
        .unbounded_send(Err(Failure::new(FailureKind::Crashed, "dead").into()))
        .unwrap();
    drop((run, second));
    assert!(read(running).await.last().unwrap().is_err());
    setting.rest().await;
    // The second run by the price table: 100 tokens at 3 nano-dollars, 10 at 15.
    assert_eq!(setting.charged().await, (1, 230, 5450));
}

/// An answer that is buffered sends nothing before it breaks off.
#[tokio::test(start_paused = true)]
async fn buffered_answer_that_breaks_off_is_charged_for_its_text() {
    let setting = Setting::new().await;
    let running = setting
        .ask(&Caller::named("a"), turn("m", None))
        .await
        .unwrap();
    let run = setting.runs.take();
    run.begin();
    run.cost_meter.record_usage(tokens(40));
    run.cost_meter.record_cost(Money::ZERO);
    run.events
        .unbounded_send(Err(Failure::new(FailureKind::Upstream, "cut off").into()))
        .unwrap();
    drop(run);
    assert!(read(running).await.last().unwrap().is_err());
    setting.rest().await;
    assert_eq!(setting.charged().await, (1, 140, 900));
}

/// The caller sees only the failure of two runs whose answers had the wrong format.
#[tokio::test(start_paused = true)]
async fn tokens_of_failed_runs_count_against_the_rate_limit() {
    let setting = Setting::new().await;
    let caller = limited_in_tokens("a", 10_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let before = running.info.limits.tokens.unwrap().remaining;
    let run = setting.runs.take();
    run.begin();
    run.cost_meter.record_usage(tokens(20));
    run.cost_meter.add_run().record_usage(tokens(30));
    run.events
        .unbounded_send(Err(Failure::new(FailureKind::Upstream, "no JSON").into()))
        .unwrap();
    assert!(read(running).await.last().unwrap().is_err());
    let next = setting.ask(&caller, turn("m", None)).await.unwrap();
    let taken = 10_000 - before;
    assert_eq!(
        next.info.limits.tokens.unwrap().remaining,
        10_000 - 250 - taken
    );
}
