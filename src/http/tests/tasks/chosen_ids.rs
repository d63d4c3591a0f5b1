//! Tests of tasks with ids chosen by clients.

use super::super::admin::refusal;
use super::*;

#[tokio::test(start_paused = true)]
async fn task_is_found_by_its_chosen_id() {
    let mut fixture = TaskFixture::open().await;
    let order = fixture.order(json!({"task_id": "test-123"}));
    let (status, created) = fixture
        .request("POST", "/api/v1/tasks", order.clone())
        .await;
    assert_eq!((status, &created["task_id"]), (201, &json!("test-123")));
    assert!(created["id"].as_str().unwrap().starts_with("task_"));
    let agent = fixture.server.agents.recv().await.unwrap();
    let (status, task) = fixture
        .request("GET", "/api/v1/tasks/test-123", Value::Null)
        .await;
    assert_eq!(
        (status, &task["id"], &task["status"]),
        (200, &created["id"], &json!("running"))
    );

    let (status, again) = fixture.request("POST", "/api/v1/tasks", order).await;
    assert_eq!(
        (status, &again["id"]),
        (200, &created["id"]),
        "the same request is the same task"
    );
    let other = fixture.order(json!({"task_id": "test-123", "max_turns": 3}));
    assert_eq!(
        refusal(fixture.request("POST", "/v1/tasks", other).await),
        "409 task_exists task_id"
    );
    let (_, list) = fixture
        .request("GET", "/v1/tasks?after=test-123", Value::Null)
        .await;
    assert_eq!(list["data"], json!([]));

    let (status, _) = fixture
        .request("POST", "/api/v1/tasks/test-123/interrupt", Value::Null)
        .await;
    assert_eq!(status, 200);
    agent.end(AgentStop::Completed, "0.25");
    let stream_text = body(fixture.events("/api/v1/tasks/test-123/events", &[]).await).await;
    let events: Vec<Value> = stream_text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    assert!(
        events.len() > 1 && events.iter().all(|event| event["task_id"] == "test-123"),
        "{stream_text}"
    );
    let (status, deleted) = fixture
        .request("DELETE", "/api/v1/tasks/test-123", Value::Null)
        .await;
    assert_eq!(
        (status, &deleted["id"], &deleted["task_id"]),
        (200, &created["id"], &json!("test-123"))
    );
    for path in ["/v1/tasks/test-123", "/v1/tasks/test-123/events"] {
        assert_eq!(
            refusal(fixture.request("GET", path, Value::Null).await),
            "404 task_not_found -",
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn chosen_task_id_is_per_key_and_reusable_after_deletion() {
    let mut fixture = TaskFixture::open().await;
    let order = fixture.order(json!({"task_id": "nightly"}));
    let [first, second] = fixture.keys.clone();
    let mut created = Vec::new();
    for key in [&first, &second] {
        let (status, task) = fixture
            .request_as(key, "POST", "/v1/tasks", order.clone())
            .await;
        assert_eq!(status, 201, "{task}");
        created.push(task["id"].clone());
    }
    assert_ne!(created[0], created[1]);
    for (key, id) in [(&first, &created[0]), (&second, &created[1])] {
        assert_eq!(
            &fixture
                .request_as(key, "GET", "/v1/tasks/nightly", Value::Null)
                .await
                .1["id"],
            id
        );
    }
    let agent = fixture.server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.25");
    fixture
        .wait_until("nightly", |task| task["status"] == "completed")
        .await;
    assert_eq!(
        fixture
            .request("DELETE", "/v1/tasks/nightly", Value::Null)
            .await
            .0,
        200
    );
    let (status, next) = fixture
        .request(
            "POST",
            "/v1/tasks",
            fixture.order(json!({"task_id": "nightly"})),
        )
        .await;
    assert_eq!(status, 201);
    assert!(
        !created.contains(&next["id"]),
        "nothing of the task that is gone is left"
    );
    assert_eq!(
        fixture
            .request_as(&second, "GET", "/v1/tasks/nightly", Value::Null)
            .await
            .1["id"],
        created[1]
    );
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_with_one_id_create_one_task() {
    let fixture = TaskFixture::open().await;
    let order = fixture.order(json!({"task_id": "once"}));
    let answers = futures::future::join_all(
        (0..5).map(|_| fixture.request("POST", "/v1/tasks", order.clone())),
    )
    .await;
    let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 201]);
    assert!(
        answers
            .iter()
            .all(|(_, task)| task["id"] == answers[0].1["id"])
    );
}

#[tokio::test(start_paused = true)]
async fn invalid_task_id_is_refused() {
    let fixture = TaskFixture::open().await;
    let generated_id = format!("task_{}", "0".repeat(32));
    for (id, expected) in [
        (json!(""), "400 invalid_value task_id"),
        (json!("a/b"), "400 invalid_value task_id"),
        (json!(".."), "400 invalid_value task_id"),
        (json!("x".repeat(65)), "400 invalid_value task_id"),
        (json!(generated_id), "400 invalid_value task_id"),
        (json!(5), "400 invalid_type task_id"),
    ] {
        let order = fixture.order(json!({"task_id": id}));
        assert_eq!(
            refusal(fixture.request("POST", "/v1/tasks", order).await),
            expected,
            "{id}"
        );
    }
}
