//! Tests of several requests in one call.

use super::*;
use crate::engine::gateway::WorkerCounts;

async fn send_batch(turns: ScriptedTurns, body: &Value) -> Response {
    send(
        router(state(turns)),
        request("POST", "/v1/batch", &[], body.to_string()),
    )
    .await
}

#[tokio::test]
async fn inline_batch_answers_in_order_and_isolates_failures() {
    let requests = json!([
        {"model": "sonnet", "prompt": "Hi"},
        {"model": "sonnet"},
        {"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}], "color": 1},
        {"model": "sonnet", "prompt": "Hi", "stream": true},
    ]);
    let response = send_batch(
        ScriptedTurns::playing(greeting_steps()),
        &json!({"requests": requests, "project_id": "default"}),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = serde_json::from_str(&body(response).await).unwrap();
    let result = |index: usize, path: &str| {
        answer["results"][index]
            .pointer(path)
            .cloned()
            .unwrap_or_default()
    };
    let statuses: Vec<_> = (0..4).map(|index| result(index, "/status")).collect();
    assert_eq!(statuses, ["completed", "failed", "completed", "failed"]);
    assert_eq!(result(0, "/response/choices/0/message/content"), "Hello");
    assert_eq!(
        (result(1, "/status_code"), result(1, "/error/param")),
        (json!(400), json!("messages"))
    );
    assert_eq!(result(2, "/ignored"), json!(["color"]));
    assert_eq!(result(3, "/error/param"), "stream");
    assert_eq!(
        (&answer["total_tokens"], &answer["total_cost"]),
        (&json!(10), &Value::Null)
    );
}

#[tokio::test]
async fn inline_batch_for_another_project_is_refused() {
    let fields = json!({"requests": [{"model": "sonnet", "prompt": "Hi"}], "project_id": "proj_1"});
    let (status, error) =
        error(send_batch(ScriptedTurns::playing(greeting_steps()), &fields).await).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (403, &json!("mismatched_project"))
    );
}

#[tokio::test(start_paused = true)]
async fn inline_batch_concurrency_is_limited_by_request_and_workers() {
    let request = json!({"model": "sonnet", "prompt": "Hi"});
    for (parallel, workers, expected) in [
        (json!(2), 5, 2),
        (Value::Null, 5, 3),
        (json!(9), 2, 2),
        (json!(true), 5, 5),
        (json!(true), 9, 6),
        (json!(false), 5, 1),
        (json!(2.0), 5, 2),
    ] {
        let mut turns = ScriptedTurns::playing(
            [
                vec![started(), Step::Wait(Duration::from_secs(1))],
                greeting_steps(),
            ]
            .concat(),
        );
        turns.readiness.workers = WorkerCounts {
            max: workers,
            ..WorkerCounts::default()
        };
        let mut running_turns = turns.watch_running();
        let fields = json!({"requests": vec![request.clone(); 6], "parallel": parallel});
        let mut peak = 0;
        let watching = async {
            while running_turns.changed().await.is_ok() {
                peak = peak.max(*running_turns.borrow_and_update());
            }
        };
        tokio::select! { response = send_batch(turns, &fields) => assert_eq!(response.status(), StatusCode::OK), () = watching => {} }
        assert_eq!(peak, expected, "{parallel} of {workers}");
    }
}
