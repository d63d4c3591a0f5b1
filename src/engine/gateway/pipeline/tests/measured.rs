//! Metrics of turns.

use super::*;
use crate::domain::Surface;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

async fn measured() -> (Setting, Metrics) {
    let metrics = Metrics::new();
    let rules = AdmissionDeps {
        metrics: metrics.turns.clone(),
        ledger: ledger::testing::measured(testing::NOW, metrics.ledger.clone()).await,
        ..testing::admission_deps().await
    };
    (Setting::with(rules), metrics)
}

#[tokio::test(start_paused = true)]
async fn answered_turn_is_measured_and_its_cached_answer_counts_as_saved() {
    let (setting, metrics) = measured().await;
    let mut caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap();
    let run = setting.runs.take();
    tokio::time::advance(Duration::from_millis(40)).await;
    run.begin();
    run.say(TurnEvent::Text("Hel".to_owned()));
    let mut events = running.events;
    events.next().await.unwrap().unwrap();
    events.next().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_millis(200)).await;
    run.say(TurnEvent::Text("lo".to_owned()));
    run.cost_meter.record_cost(Money::from_nanos(500_000_000));
    run.say(finished());
    drop(run);
    while events.next().await.is_some() {}
    // An equal turn of another API, answered from the cache.
    caller.origin.surface = Surface::Responses;
    read(setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap()).await;
    assert_series(
        &metrics,
        &[
            r#"switchboard_turns_total{model="m-1",end="answered",surface="chat"} 1"#,
            r#"switchboard_turns_total{model="m-1",end="answered",surface="responses"} 1"#,
            r#"switchboard_first_token_seconds_bucket{model="m-1",start="warm",le="0.025"} 0"#,
            r#"switchboard_first_token_seconds_bucket{model="m-1",start="warm",le="0.05"} 1"#,
            r#"switchboard_first_token_seconds_count{model="m-1",start="cached"} 1"#,
            r#"switchboard_token_gap_seconds_bucket{model="m-1",le="0.1"} 1"#,
            r#"switchboard_token_gap_seconds_count{model="m-1"} 2"#,
            r#"switchboard_tokens_total{model="m-1",type="input"} 100"#,
            r#"switchboard_tokens_total{model="m-1",type="output"} 20"#,
            r#"switchboard_cost_usd_total{model="m-1"} 0.5"#,
            r#"switchboard_saved_usd_total{by="response_cache"} 0.5"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn failed_cancelled_and_refused_turns_are_counted_apart() {
    let (setting, metrics) = measured().await;
    let caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let failure = Failure::new(FailureKind::Overloaded, "no");
    let failed = setting.runs.take();
    failed.begin();
    failed.events.unbounded_send(Err(failure.into())).unwrap();
    read(running).await;
    drop(setting.ask(&caller, turn("m-1", None)).await.unwrap());
    assert!(
        setting
            .ask(&capped("b", 1), turn("m-1", None))
            .await
            .is_err()
    );
    assert_series(
        &metrics,
        &[
            r#"switchboard_turns_total{model="m-1",end="failed",surface="chat"} 1"#,
            r#"switchboard_turns_total{model="m-1",end="cancelled",surface="chat"} 1"#,
            r#"switchboard_refusals_total{by="budget",scope="key"} 1"#,
        ],
    );
}
