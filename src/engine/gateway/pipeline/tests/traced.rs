//! Spans of turns.

use super::*;
use crate::telemetry::traces::testing::TestTraces;

async fn traced(traces: &TestTraces) -> Setting {
    Setting::with(AdmissionDeps {
        tracer: traces.tracer.clone(),
        ..testing::admission_deps().await
    })
}

#[tokio::test(start_paused = true)]
async fn answered_turn_has_spans_of_its_steps_below_its_request() {
    let mut traces = TestTraces::new();
    let setting = traced(&traces).await;
    let request = traces.tracer.begin_request("POST /x", None).unwrap();
    let caller = Caller {
        trace: request.request_trace(),
        ..Caller::named("a")
    };
    let running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let run = setting.runs.take();
    tokio::time::advance(Duration::from_millis(40)).await;
    run.answer(500_000_000);
    drop(run);
    read(running).await;
    drop(request);
    let spans = traces.take();
    assert_eq!(
        spans.names(),
        ["POST /x", "charge", "chat m-1", "first token", "hold"]
    );
    for name in ["charge", "first token", "hold"] {
        assert_eq!(spans.parent_of(name), Some("chat m-1"), "{name}");
    }
    let first_token = spans.only("first token").duration();
    assert_eq!(first_token, Duration::from_millis(40));
    let chat = spans.only("chat m-1");
    for (key, value) in [
        ("gen_ai.response.model", "m-1"),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "20"),
        ("switchboard.cost_usd", "0.5"),
        ("switchboard.cache", "bypass"),
        ("switchboard.key", "a"),
        ("error.type", ""),
    ] {
        assert_eq!(chat.text(key), value, "{key}");
    }
    assert!(!chat.exported_text().contains("Say hello."));
}

#[tokio::test(start_paused = true)]
async fn refused_failed_and_abandoned_turns_are_kept_whatever_the_ratio_is() {
    let mut traces = TestTraces::of_failures();
    let setting = traced(&traces).await;
    let refused = setting.ask(&capped("b", 1), turn("m-1", None)).await;
    assert!(refused.is_err());
    let spans = traces.take();
    assert_eq!(spans.only("chat m-1").text("error.type"), "budget");
    assert!(!spans.only("chat m-1").is_failed());

    let caller = Caller::named("a");
    let running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let run = setting.runs.take();
    run.begin();
    let failure = Failure::new(FailureKind::Overloaded, "no");
    run.events.unbounded_send(Err(failure.into())).unwrap();
    drop(run);
    read(running).await;
    setting.rest().await;
    let spans = traces.take();
    assert!(spans.only("chat m-1").is_failed());
    assert_eq!(spans.only("chat m-1").text("error.type"), "upstream");

    let mut running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let run = setting.runs.take();
    run.begin();
    running.events.next().await.unwrap().unwrap();
    drop(running);
    run.cost_meter.record_cost(Money::from_nanos(5));
    drop(run);
    setting.rest().await;
    let spans = traces.take();
    assert_eq!(spans.only("chat m-1").text("error.type"), "client_gone");
    // The charge, which ends after its client has gone, belongs to the turn nevertheless.
    assert_eq!(spans.parent_of("charge"), Some("chat m-1"));

    let running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let run = setting.runs.take();
    run.answer(5);
    drop(run);
    read(running).await;
    assert_eq!(traces.take().names(), [""; 0]);
}
