//! Spans of requests.

use super::access_log::Log;
use super::with_keys::with_configured_key;
use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;

pub(crate) use crate::telemetry::traces::testing::TestTraces;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SPAN: &str = "POST /v1/chat/completions";

fn traced(traces: &TestTraces, turns: ScriptedTurns) -> Router {
    router(AppState {
        tracer: traces.tracer.clone(),
        ..state(turns)
    })
}

#[tokio::test]
async fn request_is_a_span_in_the_trace_of_its_client_and_answer_and_log_name_it() {
    let mut traces = TestTraces::new();
    let (log, _guard) = Log::collect();
    let headers = [
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("x-request-id", "mine"),
    ];
    let path = "/chat/completions/?key=secret-1";
    let request = request("POST", path, &headers, chat(false).to_string());
    let turns = ScriptedTurns::playing(greeting_steps());
    let response = send(traced(&traces, turns), request).await;
    let named = response.headers()["traceparent"].clone();
    body(response).await;
    let spans = traces.take();
    let span = spans.only(SPAN);
    assert_eq!(span.context().traceparent(), named);
    assert_eq!(span.context().tracestate(), Some("a=1"));
    let trace_id = &PARENT[3..35];
    assert_eq!(span.context().trace_id(), trace_id);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/chat/completions"),
        ("http.response.status_code", "200"),
        ("url.path", "/chat/completions/"),
        ("server.address", "localhost"),
        ("server.port", "8080"),
        ("switchboard.request.id", "mine"),
        ("switchboard.key", "local"),
        ("switchboard.end", "complete"),
        ("error.type", ""),
    ] {
        assert_eq!(span.text(key), value, "{key}");
    }
    assert!(log.text().contains(&format!(r#""trace.id":"{trace_id}""#)));
    for secret in ["secret", "Hi", "Hello"] {
        assert!(!span.exported_text().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn invalid_traceparent_begins_a_new_trace() {
    let mut traces = TestTraces::new();
    let headers = [("traceparent", "odd"), ("tracestate", "a=1")];
    let request = request(
        "POST",
        "/v1/chat/completions",
        &headers,
        chat(false).to_string(),
    );
    let turns = ScriptedTurns::playing(greeting_steps());
    let response = send(traced(&traces, turns), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    body(response).await;
    let spans = traces.take();
    assert_eq!(spans.only(SPAN).context().tracestate(), None);
}

#[tokio::test]
async fn refused_failed_and_abandoned_requests_are_kept_whatever_the_ratio_is() {
    let mut traces = TestTraces::of_failures();
    let turns = ScriptedTurns::playing(greeting_steps());
    body(send(traced(&traces, turns), post(&chat(false))).await).await;
    assert_eq!(traces.take().names(), [""; 0]);

    let unknown = request("GET", "/nothing", &[], Body::empty());
    body(send(traced(&traces, ScriptedTurns::playing([])), unknown).await).await;
    let spans = traces.take();
    assert_eq!(spans.only("GET").text("error.type"), "unknown_url");
    assert!(!spans.only("GET").is_failed());

    let failure = Failure::new(FailureKind::Crashed, "The worker ended.");
    let turns = ScriptedTurns::refusing(Error::Failed(failure));
    body(send(traced(&traces, turns), post(&chat(false))).await).await;
    let spans = traces.take();
    assert_eq!(spans.only(SPAN).text("error.type"), "worker_failed");
    assert!(spans.only(SPAN).is_failed());

    let turns = ScriptedTurns::playing(greeting_steps());
    let response = send(traced(&traces, turns), post(&chat(true))).await;
    drop(response);
    let spans = traces.take();
    assert_eq!(spans.only(SPAN).text("error.type"), "client_gone");
}

#[tokio::test]
async fn flood_of_requests_with_a_wrong_key_is_kept_in_part_and_those_of_callers_whole() {
    let mut traces = TestTraces::of_failures();
    let app = router(with_configured_key(AppState {
        tracer: traces.tracer.clone(),
        ..state(ScriptedTurns::playing([]))
    }));
    for _ in 0..40 {
        let headers = [("authorization", "Bearer guess"), ("traceparent", PARENT)];
        let request = request("GET", "/v1/models", &headers, Body::empty());
        body(send(app.clone(), request).await).await;
    }
    let kept = traces.take().names().len();
    // Ten a second; the loop may cross the end of one.
    assert!((10..40).contains(&kept), "{kept}");
    for _ in 0..40 {
        let headers = [("authorization", "Bearer secret-1")];
        let request = request("GET", "/nothing", &headers, Body::empty());
        body(send(app.clone(), request).await).await;
    }
    assert_eq!(traces.take().names().len(), 40);
}

#[tokio::test]
async fn without_traces_an_answer_names_no_span() {
    let turns = ScriptedTurns::playing(greeting_steps());
    let response = send(router(state(turns)), post(&chat(false))).await;
    assert!(!response.headers().contains_key("traceparent"));
}
