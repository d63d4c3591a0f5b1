//! Sessions: conversations stored by the server, through the real CLI.

use serde_json::{Value, json};

use crate::support::TestServer;

async fn post_json(server: &TestServer, path: &str, body: Value) -> Value {
    let response = server
        .http
        .post(server.url(path))
        .json(&body)
        .send()
        .await
        .unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn answer_text(body: &Value) -> &str {
    body["choices"][0]["message"]["content"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_message_sends_the_whole_conversation_upstream() {
    let server = TestServer::real().await.workers(1).start().await;
    let session = post_json(
        &server,
        "/v1/sessions",
        json!({"model": "haiku", "instructions": "be brief"}),
    )
    .await;
    let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
    assert_eq!(
        answer_text(&post_json(&server, &path, json!({"content": "[[say=\"one\"]]"})).await),
        "one"
    );
    server.wait_until_idle().await;
    assert_eq!(
        answer_text(&post_json(&server, &path, json!({"content": "[[say=\"two\"]]"})).await),
        "two"
    );
    let requests = server.upstream().requests();
    assert_eq!(requests.len(), 2, "one call for each message");
    assert_eq!(requests[1].body["system"][1]["text"], "be brief");
    let messages = requests[1].body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_results_continue_the_session_that_called() {
    let server = TestServer::real().await.workers(1).start().await;
    let session = post_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
    let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]);
    let called = post_json(
        &server,
        &path,
        json!({"content": "[[tool=look input={}]]", "tools": tools}),
    )
    .await;
    assert_eq!(called["choices"][0]["finish_reason"], "tool_calls");
    let id = &called["choices"][0]["message"]["tool_calls"][0]["id"];
    let result = json!([{"role": "tool", "tool_call_id": id, "content": "seen"}]);
    let answer = post_json(&server, &path, json!({"messages": result, "tools": tools})).await;
    assert_eq!(answer_text(&answer), "Tool results: seen");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(1).start_in(folder.path()).await;
    let session = post_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
    let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
    post_json(&server, &path, json!({"content": "[[tokens=1]]"})).await;
    server.end().await;
    let next = TestServer::fake().workers(1).start_in(folder.path()).await;
    assert_eq!(
        answer_text(&post_json(&next, &path, json!({"content": "[[tokens=2]]"})).await),
        "w0 w1 "
    );
    let items = next
        .http
        .get(next.url(path.as_str()))
        .send()
        .await
        .unwrap()
        .json::<Value>()
        .await
        .unwrap();
    assert_eq!(items["data"].as_array().unwrap().len(), 4);
    next.end().await;
}
