//! Tests of control and events of running tasks.

use super::*;
use crate::accounts::auth::Credentials;

#[tokio::test(start_paused = true)]
async fn permission_request_is_answered_once() {
    let mut fixture = TaskFixture::open().await;
    let (id, mut agent) = fixture.start_task(json!({})).await;
    agent.request_permission("q1");
    let task = fixture
        .wait_until(&id, |task| task["permission_requests"] != json!([]))
        .await;
    let pending = json!({"request_id": "q1", "tool": "Bash", "tool_use_id": "toolu_1", "input": {"command": "ls"}, "reason": null});
    assert_eq!(task["permission_requests"], json!([pending]));
    let path = format!("/v1/tasks/{id}/permissions/q1");
    for (body, param) in [
        (json!({}), "decision"),
        (json!({"decision": "maybe"}), "decision"),
        (json!({"decision": "allow", "message": "x"}), "message"),
        (json!({"decision": "allow", "for": "ever"}), "for"),
    ] {
        let (status, error) = fixture.request("POST", &path, body).await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!(param)));
    }
    let (status, answered) = fixture
        .request(
            "POST",
            &path,
            json!({"decision": "deny", "message": "Not that."}),
        )
        .await;
    assert_eq!((status, &answered["decision"]), (200, &json!("deny")));
    let call = agent.calls.recv().await.unwrap();
    assert_eq!(
        call,
        AgentCall::Answer(
            "q1".to_owned(),
            PermissionDecision::Deny("Not that.".to_owned())
        )
    );
    let (status, error) = fixture
        .request("POST", &path, json!({"decision": "allow"}))
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("permission_request_not_found"))
    );
}

#[tokio::test(start_paused = true)]
async fn task_is_interrupted_once() {
    let mut fixture = TaskFixture::open().await;
    let (id, mut agent) = fixture.start_task(json!({})).await;
    let path = format!("/v1/tasks/{id}/interrupt");
    let (status, task) = fixture.request("POST", &path, json!(null)).await;
    assert_eq!((status, &task["status"]), (200, &json!("running")));
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.25");
    let stream_text = body(
        fixture
            .events(&format!("/v1/tasks/{id}/events?starting_after=0"), &[])
            .await,
    )
    .await;
    assert!(
        stream_text.contains(r#""status":"interrupted""#)
            && stream_text.contains("event: complete"),
        "{stream_text}"
    );
    let (status, error) = fixture.request("POST", &path, json!(null)).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("task_over"))
    );
    let (status, error) = fixture
        .request("GET", &format!("/v1/tasks/{id}/ws"), json!(null))
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (426, &json!("websocket_required"))
    );
}

#[tokio::test(start_paused = true)]
async fn reconnecting_reader_misses_no_event() {
    let mut fixture = TaskFixture::open().await;
    let (id, agent) = fixture.start_task(json!({})).await;
    let path = format!("/v1/tasks/{id}/events");
    for number in 1..=998 {
        agent.emit(AgentEvent::Message(number.to_string()));
    }
    // The reader from the beginning disconnects in the middle.
    let mut stream = fixture
        .events(&path, &[])
        .await
        .into_body()
        .into_data_stream();
    let mut read = String::new();
    while !read.contains("id: 400\n") {
        read.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    drop(stream);
    let last =
        read.lines().rfind(|line| line.starts_with("id: ")).unwrap()["id: ".len()..].to_owned();
    agent.end(AgentStop::Completed, "0.25");
    read.push_str(&body(fixture.events(&path, &[("last-event-id", &last)]).await).await);
    let ids: Vec<usize> = read
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
    assert!(
        read.ends_with("\n\n")
            && read.lines().rfind(|line| line.starts_with("event: ")) == Some("event: complete")
    );
    let nothing = fixture.events(&path, &[("last-event-id", "999")]).await;
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
    for (path, headers) in [
        (path.clone(), [("last-event-id", "x")]),
        (format!("{path}?starting_after=-1"), [("x-nothing", "")]),
    ] {
        let (status, _) = error(fixture.events(&path, &headers).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(start_paused = true)]
async fn task_is_stopped_when_its_key_is_revoked() {
    let mut fixture = TaskFixture::open().await;
    let (id, mut agent) = fixture.start_task(json!({})).await;
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    fixture
        .wait_until(&id, |task| task["progress"]["turns"] == 1)
        .await;
    let credentials = Credentials {
        api_key: Some(&fixture.keys[0]),
        ..Credentials::default()
    };
    let caller = fixture.known.authenticate(&credentials, None).unwrap();
    fixture.registry.revoke_key(&caller.name).await.unwrap();
    agent.emit(AgentEvent::AnswerStarted {
        model: "haiku".to_owned(),
    });
    assert_eq!(agent.calls.recv().await.unwrap(), AgentCall::Interrupt);
    agent.end(AgentStop::Interrupted, "0.25");
    fixture.server.stop.cancel();
    fixture.server.tasks.wait_until_ended().await;
    let task = fixture.server.tasks.get(&caller, &id).await.unwrap();
    assert_eq!(
        task.error.map(|error| error.code).as_deref(),
        Some("key_revoked")
    );
}
