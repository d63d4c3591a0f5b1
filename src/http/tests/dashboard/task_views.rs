//! Tasks of all keys: the board, the inbox of permission requests, spans and messages.

use super::*;
use crate::http::tests::tasks::AgentCall;
use crate::http::tests::tasks::AgentEvent;
use crate::http::tests::tasks::AgentScript;
use crate::http::tests::tasks::AgentStop;
use crate::http::tests::tasks::PermissionDecision;
use crate::http::tests::tasks::TaskFixture;

/// Server with tasks and a dashboard, with the cookie of a signed-in operator.
async fn open() -> (TaskFixture, DashboardFixture, String) {
    let tasks = TaskFixture::open().await;
    let state = app_state(
        &ResponseTables::temporary(),
        ScriptedTurns::playing([]),
        Keys::none(),
        DrainExpired::default(),
    );
    let registry = tasks.registry.clone();
    let state = with_dashboard(tasks.state(state), &registry);
    let fixture = DashboardFixture::of(state, registry);
    let cookie = fixture.sign_in(false).await;
    (tasks, fixture, cookie)
}

/// Reads `path` until its answer fulfils `condition`.
async fn wait_for(
    fixture: &DashboardFixture,
    (path, cookie): (&str, &str),
    condition: impl Fn(&Value) -> bool,
) -> Value {
    loop {
        let answer = fixture.get(path, cookie).await;
        if condition(&answer.json) {
            return answer.json;
        }
        tokio::task::yield_now().await;
    }
}

fn use_tool(agent: &AgentScript) {
    agent.emit(AgentEvent::ToolUse {
        id: "toolu_1".to_owned(),
        name: "Bash".to_owned(),
        input: r#"{"command": "ls"}"#.to_owned(),
    });
}

#[tokio::test(start_paused = true)]
async fn permission_requests_of_all_keys_are_answered_in_one_inbox() {
    let (mut tasks, fixture, cookie) = open().await;
    let (id, mut agent) = tasks.start_task(json!({})).await;
    agent.request_permission("q1");
    let inbox = ("permissions", &*cookie);
    let asked = wait_for(&fixture, inbox, |inbox| inbox["data"] != json!([])).await;
    let request = &asked["data"][0];
    assert_eq!(
        (&request["task_id"], &request["request_id"]),
        (&json!(id), &json!("q1"))
    );
    assert_eq!(
        (&request["owner"]["name"], &request["prompt"]),
        (&json!("key"), &json!("do it"))
    );
    assert_eq!(request["input"], json!({"command": "ls"}));
    let asked_at = request["asked_at"].as_u64().unwrap();
    assert_eq!(request["expires_at"], asked_at + 20);
    let path = format!("tasks/{id}/permissions/q1");
    let allow = json!({"decision": "allow"});
    let answered = fixture.page("POST", &path, &cookie, allow.clone()).await;
    assert_eq!(
        (answered.status, &answered.json["decision"]),
        (200, &json!("allow"))
    );
    let expected = AgentCall::Answer("q1".to_owned(), PermissionDecision::Allow);
    assert_eq!(agent.calls.recv().await.unwrap(), expected);
    let again = fixture.page("POST", &path, &cookie, allow).await;
    assert_eq!(again.refusal(), "404 permission_request_not_found");
    wait_for(&fixture, inbox, |inbox| inbox["data"] == json!([])).await;
}

#[tokio::test(start_paused = true)]
async fn message_to_an_ended_task_becomes_a_task_in_its_session() {
    let (mut tasks, fixture, cookie) = open().await;
    let (id, agent) = tasks.start_task(json!({})).await;
    let path = format!("tasks/{id}/messages");
    let message = json!({"text": "Now the docs."});
    let early = fixture.page("POST", &path, &cookie, message.clone()).await;
    assert_eq!(early.refusal(), "409 task_running");
    use_tool(&agent);
    agent.end(AgentStop::Completed, "0.25");
    let one = format!("tasks/{id}");
    let ended = wait_for(&fixture, (one.as_str(), cookie.as_str()), |task| {
        task["status"] == "completed"
    })
    .await;
    assert_eq!(ended["spent_nano_usd"], 250_000_000);
    let empty = fixture
        .page("POST", &path, &cookie, json!({"text": " "}))
        .await;
    assert_eq!(
        (empty.status, &empty.json["error"]["param"]),
        (400, &json!("text"))
    );
    let next = fixture.page("POST", &path, &cookie, message).await;
    assert_eq!(next.status, 201, "{}", next.text);
    assert_eq!(next.json["session_id"], ended["session_id"]);
    assert_eq!(next.json["prompt"], "Now the docs.");
    assert_eq!(next.json["tools"], ended["tools"]);
    assert_eq!(next.json["owner"], ended["owner"]);
    let board = fixture.get("tasks?limit=1", &cookie).await;
    assert_eq!(board.json["has_more"], true);
    assert_eq!(board.json["data"][0]["id"], next.json["id"]);
    assert_eq!(board.json["permission_timeout_seconds"], 20);
}

#[tokio::test(start_paused = true)]
async fn task_is_followed_and_interrupted_whoever_owns_it() {
    let (mut tasks, fixture, cookie) = open().await;
    let (id, mut agent) = tasks.start_task(json!({})).await;
    use_tool(&agent);
    let spans = format!("tasks/{id}/spans");
    let is_running = |spans: &Value| spans["data"][2]["kind"] == "tool";
    let running = wait_for(&fixture, (spans.as_str(), cookie.as_str()), is_running).await;
    let kinds: Vec<&Value> = running["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| &span["kind"])
        .collect();
    assert_eq!(kinds, ["queue", "turn", "tool"]);
    assert_eq!(running["data"][2]["ends_at_ms"], Value::Null);
    let interrupt = format!("tasks/{id}/interrupt");
    let asked = fixture.page("POST", &interrupt, &cookie, Value::Null).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.25");
    let events = fixture.get(&format!("tasks/{id}/events"), &cookie).await;
    assert_eq!(
        events.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(events.text.contains("event: tool_use"), "{}", events.text);
    assert!(events.text.contains("event: complete"), "{}", events.text);
    let again = fixture.page("POST", &interrupt, &cookie, Value::Null).await;
    assert_eq!(again.refusal(), "400 task_over");
    let unknown = fixture.get("tasks/task_unknown", &cookie).await;
    assert_eq!(unknown.refusal(), "404 task_not_found");
}

#[tokio::test(start_paused = true)]
async fn open_stream_ends_with_its_session() {
    let (mut tasks, fixture, cookie) = open().await;
    let (id, _agent) = tasks.start_task(json!({})).await;
    let path = format!("/dashboard/api/tasks/{id}/events");
    let asked = request("GET", &path, &[("cookie", &cookie)], "");
    let asked = from_peer(asked, LOOPBACK);
    let stream = send(fixture.router.clone(), asked).await;
    let session = fixture.get("session", &cookie).await;
    let path = format!("sessions/{}", session.json["id"].as_str().unwrap());
    let revoked = fixture.page("DELETE", &path, &cookie, Value::Null).await;
    assert_eq!(revoked.json["deleted"], true);
    let ended = read(stream).await;
    assert_eq!(ended.status, 200);
    // Otherwise it would go on to the end of the task, at its timeout.
    assert!(!ended.text.contains("event: error"), "{}", ended.text);
    assert!(!ended.text.contains("event: complete"), "{}", ended.text);
}
