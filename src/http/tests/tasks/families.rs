//! Tests of tasks below other tasks, and of hand-overs.

use super::super::admin::refusal;
use super::*;

impl TaskFixture {
    /// Creates a task with the chosen id `first` that may cost $1 and has cost 25 cents.
    async fn end_first_task(&mut self) -> String {
        let (id, agent) = self.start_task(json!({"task_id": "first"})).await;
        agent.end(AgentStop::Completed, "0.25");
        self.wait_until(&id, |task| task["status"] == "completed")
            .await;
        id
    }

    async fn hand_over(&self, fields: Value) -> (u16, Value) {
        self.request("POST", "/v1/tasks/first/handover", fields)
            .await
    }
}

#[tokio::test(start_paused = true)]
async fn task_below_another_shares_its_budget_and_is_listed() {
    let mut fixture = TaskFixture::open().await;
    let first = fixture.end_first_task().await;
    let order = fixture.order(json!({"parent_task_id": "first", "max_budget_usd": "0.5"}));
    let (status, child) = fixture.request("POST", "/v1/tasks", order).await;
    assert_eq!(
        (status, &child["parent_task_id"]),
        (201, &json!(first)),
        "{child}"
    );
    let family = json!({"root_task_id": first, "max_budget_usd": 1.0, "left_usd": 0.25});
    assert_eq!(child["family"], family);
    let (_, parent) = fixture.request("GET", "/v1/tasks/first", Value::Null).await;
    assert_eq!(
        (&parent["child_task_ids"], &parent["family"]),
        (&json!([child["id"]]), &family)
    );
    for (query, expected) in [
        ("parent_task_id=first".to_owned(), json!([child["id"]])),
        (format!("parent_task_id={first}"), json!([child["id"]])),
        ("parent_task_id=second".to_owned(), json!([])),
    ] {
        let path = format!("/v1/tasks?{query}");
        let (_, list) = fixture.request("GET", &path, Value::Null).await;
        let tasks = list["data"].as_array().unwrap().iter();
        let ids: Vec<&Value> = tasks.map(|task| &task["id"]).collect();
        assert_eq!(json!(ids), expected, "{query}");
    }

    let order = fixture.order(json!({"parent_task_id": "first", "max_budget_usd": "0.3"}));
    let (status, refused) = fixture.request("POST", "/v1/tasks", order).await;
    let error = &refused["error"];
    assert_eq!(
        (status, &error["code"], &error["param"]),
        (429, &json!("insufficient_quota"), &json!("max_budget_usd"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("$1.00, of which $0.25"), "{message}");

    let order = fixture.order(json!({"parent_task_id": first}));
    let foreign = fixture
        .request_as(&fixture.keys[1], "POST", "/v1/tasks", order)
        .await;
    assert_eq!(refusal(foreign), "404 task_not_found parent_task_id");
}

#[tokio::test(start_paused = true)]
async fn ended_task_is_handed_over_once_for_a_chosen_id() {
    let mut fixture = TaskFixture::open().await;
    let first = fixture.end_first_task().await;
    let fields = json!({"prompt": "Review it.", "preset": "edit", "task_id": "second"});
    let (status, second) = fixture.hand_over(fields.clone()).await;
    assert_eq!(
        (status, &second["task_id"], &second["parent_task_id"]),
        (201, &json!("second"), &json!(first)),
        "{second}"
    );
    assert_eq!(second["max_budget_usd"], 0.75, "all that is left");
    let agent = fixture.server.agents.recv().await.unwrap();
    let prompt = &agent.job.prompt;
    assert!(prompt.starts_with("Review it.\n\n"), "{prompt}");
    assert!(prompt.contains("\nresult:\nwords\n"), "{prompt}");

    let (status, again) = fixture.hand_over(fields).await;
    assert_eq!((status, &again["id"]), (200, &second["id"]));
    let other = fixture
        .hand_over(json!({"prompt": "Review.", "task_id": "second"}))
        .await;
    assert_eq!(refusal(other), "409 task_exists task_id");

    let path = "/v1/tasks/first/events";
    let events = steady(&body(fixture.events(path, &[]).await).await);
    let last: Vec<&str> = events.lines().rev().take(7).collect();
    assert_eq!(last[6], "event: complete", "{events}");
    assert_eq!((last[3], last[2]), ("id: 2", "event: handed_over"));
    let expected = json!({"type": "handed_over", "sequence_number": 2, "to_task_id": second["id"]});
    assert_eq!(last[1], format!("data: {expected}"));
    let rest = body(fixture.events(path, &[("last-event-id", "1")]).await).await;
    assert!(rest.starts_with("id: 2\n"), "{rest}");
    let nothing = fixture.events(path, &[("last-event-id", "2")]).await;
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn invalid_hand_over_and_interrupt_name_what_is_wrong() {
    let mut fixture = TaskFixture::open().await;
    let (_, _agent) = fixture.start_task(json!({"task_id": "first"})).await;
    for (fields, expected) in [
        (json!({"prompt": "x"}), "400 task_not_over -"),
        (json!({}), "400 missing_required_parameter prompt"),
        (
            json!({"prompt": "x", "workspace": "/"}),
            "400 unknown_parameter workspace",
        ),
        (
            json!({"prompt": "x", "parent_task_id": "y"}),
            "400 unknown_parameter parent_task_id",
        ),
    ] {
        let refused = fixture.hand_over(fields.clone()).await;
        assert_eq!(refusal(refused), expected, "{fields}");
    }
    let fields = json!({"prompt": "x"});
    let (status, _) = fixture
        .request("POST", "/v1/tasks/second/handover", fields)
        .await;
    assert_eq!(status, 404);
    let path = "/v1/tasks/first/interrupt?cascade=maybe";
    let refused = fixture.request("POST", path, Value::Null).await;
    assert_eq!(refusal(refused), "400 invalid_value cascade");
    let path = "/v1/tasks/first/interrupt?cascade=true";
    let (status, _) = fixture.request("POST", path, Value::Null).await;
    assert_eq!(status, 200);
}

#[tokio::test(start_paused = true)]
async fn event_of_a_writing_tool_names_the_file() {
    let mut fixture = TaskFixture::open().await;
    let (id, agent) = fixture.start_task(json!({})).await;
    for (name, input) in [
        ("Write", r#"{"file_path": "/a", "content": "x"}"#),
        ("Edit", r#"{"file_path": "/b"}"#),
        ("NotebookEdit", r#"{"notebook_path": "/c"}"#),
        ("Read", r#"{"file_path": "/d"}"#),
    ] {
        agent.emit(AgentEvent::ToolUse {
            id: name.to_owned(),
            name: name.to_owned(),
            input: input.to_owned(),
        });
    }
    agent.end(AgentStop::Completed, "0.25");
    let text = body(fixture.events(&format!("/v1/tasks/{id}/events"), &[]).await).await;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    let paths: Vec<Value> = events
        .filter(|event| event["type"] == "tool_use")
        .map(|event| event["path"].clone())
        .collect();
    assert_eq!(json!(paths), json!(["/a", "/b", "/c", null]));
}
