//! Live part of the dashboard's API, in front of scripted turns.

use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_fn;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::engine::gateway::PipelineHooks;
use crate::engine::gateway::TurnPipeline;
use crate::engine::gateway::testing;
use crate::engine::hooks::Hooks;
use crate::http::describe_for_hooks;
use crate::http::middleware::api_flavor;
use crate::http::middleware::request_id;
use crate::http::tests::ScriptedTurns;
use crate::http::tests::Step;
use crate::http::tests::chat;
use crate::http::tests::started;
use crate::http::tests::state;
use crate::http::tests::text;
use crate::telemetry::activity::FigureSample;
use crate::telemetry::activity::LevelKind;
use crate::telemetry::metrics::MetricsSnapshot;

/// State of a server whose `turns` pass the pipeline.
async fn piped(turns: ScriptedTurns) -> AppState {
    let admission = testing::admission_deps().await;
    let activity = admission.activity.clone();
    let mut pipeline = testing::pipeline(turns, admission);
    pipeline.hooks = PipelineHooks::new(Hooks::default(), describe_for_hooks);
    AppState {
        turns: TurnPipeline::new(pipeline),
        activity,
        ..state(ScriptedTurns::playing([]))
    }
}

fn idle() -> AppState {
    state(ScriptedTurns::playing([]))
}

/// Sends a request to the live part, past the sign-in.
async fn send(state: &AppState, request: Request<Body>) -> Response {
    let router = routes()
        .layer(Extension(RequestNotes::default()))
        .layer(from_fn(api_flavor::layer))
        .layer(from_fn(request_id::layer));
    let router: Router = router.with_state(state.clone());
    router.oneshot(request).await.unwrap()
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(format!("/dashboard/api/{path}"))
        .body(Body::empty())
        .unwrap()
}

async fn get_answer(state: &AppState, path: &str) -> (StatusCode, Value) {
    json_of(send(state, get_request(path)).await).await
}

async fn cancel(state: &AppState, id: &str) -> (StatusCode, Value) {
    let request = Request::post(format!("/dashboard/api/requests/{id}/cancel"));
    json_of(send(state, request.body(Body::empty()).unwrap()).await).await
}

async fn json_of(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Returns the next frame of a stream; `None` at its end.
async fn next_frame(response: &mut Response) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

fn record_second(state: &AppState, second: u64) {
    let levels = MetricsSnapshot {
        workers: vec![("idle", 1)],
        max_workers: 4,
        ..MetricsSnapshot::default()
    };
    let mut sample = FigureSample::default();
    sample.levels.0[LevelKind::WorkersIdle as usize] = 1;
    state.activity.record_second(second, &sample, levels);
}

#[tokio::test]
async fn running_request_is_shown_without_its_prompt_and_can_be_cancelled() {
    let steps = [started(), text("Hello"), Step::Hang];
    let state = piped(ScriptedTurns::playing(steps)).await;
    let request = Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("x-request-id", "mine")
        .body(Body::from(chat(true).to_string()))
        .unwrap();
    let router = crate::http::router(state.clone());
    let mut answer = router.oneshot(request).await.unwrap();
    while !next_frame(&mut answer).await.unwrap().contains("Hello") {}

    let (status, snapshot) = get_answer(&state, "snapshot").await;
    assert_eq!(status, StatusCode::OK);
    let running = &snapshot["running"][0];
    for (field, value) in [
        ("request_id", "mine"),
        ("surface", "chat"),
        ("key", "local"),
        ("project", "default"),
        ("requested_model", "sonnet"),
        ("model", "claude-sonnet-5-5"),
        ("start", "warm"),
        ("phase", "stream"),
    ] {
        assert_eq!(running[field], value, "{field}");
    }
    assert_eq!(running["is_streamed"], true);
    assert_eq!(running["tokens"]["output"], 2);
    assert_eq!(running["phases"][0]["phase"], "admission");
    assert!(!snapshot.to_string().contains("Hello"));
    let id = running["id"].as_str().unwrap();

    let (status, body) = cancel(&state, id).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(body["is_cancelling"], true);
    let mut rest = String::new();
    while let Some(frame) = next_frame(&mut answer).await {
        rest.push_str(&frame);
    }
    assert!(rest.contains("cancelled_by_operator"), "{rest}");
    let (_, snapshot) = get_answer(&state, "snapshot").await;
    let finished = &snapshot["finished"][0];
    assert_eq!(finished["id"], id);
    assert_eq!(finished["status"], "cancelled");
    assert_eq!(finished["error_code"], "cancelled_by_operator");
    assert_eq!(finished["http_status"], 403);
    assert!(finished["phases"][0]["duration_ms"].is_u64());
    for id in [id, "odd"] {
        let (status, body) = cancel(&state, id).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["code"], "request_not_found");
    }
}

#[tokio::test]
async fn series_has_columns_of_one_length_for_each_span() {
    let state = idle();
    for second in [1_796_050_800, 1_796_050_801, 1_796_050_803] {
        record_second(&state, second);
    }
    for (span, step, steps) in [("10m", 1, 4), ("24h", 60, 1), ("90d", 3600, 1)] {
        let (_, body) = get_answer(&state, &format!("series?span={span}")).await;
        assert_eq!(body["span"], span);
        assert_eq!(body["step_seconds"], step);
        let columns = body["columns"].as_object().unwrap();
        assert_eq!(columns.len(), 28);
        for (name, values) in columns {
            assert_eq!(values.as_array().unwrap().len(), steps, "{name}");
        }
    }
    let (_, body) = get_answer(&state, "series?span=10m").await;
    let columns = &body["columns"];
    assert_eq!(columns["time"][2], 1_796_050_802);
    assert_eq!(columns["answered"][2], Value::Null);
    assert_eq!(columns["workers_idle"][3], 1.0);
    assert_eq!(columns["first_token_p50_ms"][3], Value::Null);
    for query in ["", "?span=1y"] {
        let (status, body) = get_answer(&state, &format!("series{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body["error"]["param"], "span");
    }
}

#[tokio::test]
async fn events_go_on_after_the_last_one_and_end_when_the_server_stops() {
    let state = idle();
    record_second(&state, 1_796_050_800);
    let (_, snapshot) = get_answer(&state, "snapshot").await;
    let seen = snapshot["seq"].as_u64().unwrap();
    assert_eq!(snapshot["gauges"]["workers"]["max"], 4);
    assert_eq!(snapshot["today"]["requests"], 0);
    record_second(&state, 1_796_050_801);
    for headers in [false, true] {
        let mut request = get_request(&format!("events?from={}", if headers { 0 } else { seen }));
        if headers {
            let value = seen.to_string().parse().unwrap();
            request.headers_mut().insert(LAST_EVENT_ID, value);
        }
        let mut response = send(&state, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(next_frame(&mut response).await.unwrap(), "retry: 2000\n\n");
        let frame = next_frame(&mut response).await.unwrap();
        let head = format!("id: {}\nevent: second\ndata: ", seen + 1);
        let data = frame.strip_prefix(&head).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["point"]["time"], 1_796_050_801);
        assert_eq!(data["gauges"]["workers"]["idle"], 1);
    }
    let mut response = send(&state, get_request("events?from=1")).await;
    next_frame(&mut response).await.unwrap();
    let frame = next_frame(&mut response).await.unwrap();
    assert!(frame.contains("event: resync\n"), "{frame}");
    state.shutdown_started.0.cancel();
    assert_eq!(next_frame(&mut response).await.unwrap(), LAST_FRAME);
    assert_eq!(next_frame(&mut response).await, None);
}

#[tokio::test]
async fn viewer_that_names_no_event_or_comes_too_many_is_refused() {
    let state = idle();
    let (status, body) = get_answer(&state, "events?from=later").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["param"], "from");
    let viewers: Vec<_> = (0..MAX_VIEWERS)
        .map(|_| state.activity.follow(None).unwrap())
        .collect();
    let response = send(&state, get_request("events")).await;
    assert_eq!(response.headers()["retry-after"], "10");
    let (status, body) = json_of(response).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["error"]["code"], "too_many_viewers");
    drop(viewers);
    let response = send(&state, get_request("events")).await;
    assert_eq!(response.status(), StatusCode::OK);
}
