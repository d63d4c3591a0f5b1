//! Whole upstream request bodies of each endpoint, without the ids of process and session.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Returns the body of the single upstream call that a request to `path` makes.
async fn body_of(path: &str, request: Value) -> String {
    let server = TestServer::real().await.workers(1).start().await;
    let response = server
        .http
        .post(server.url(path))
        .json(&request)
        .send()
        .await
        .unwrap();
    let status = response.status();
    assert_eq!(status, 200, "{}", response.text().await.unwrap());
    let requests = server.upstream().requests();
    assert_eq!(requests.len(), 1);
    let mut body = Value::clone(&requests[0].body);
    body.as_object_mut().unwrap().remove("metadata");
    server.end().await;
    serde_json::to_string_pretty(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_request_body_is_stable() {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"z\": 1, \"a\": 2}"}});
    let tool = json!({"name": "look", "description": "d", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}});
    let request = json!({
        "model": "gpt-4o-mini", "max_tokens": 99, "temperature": 0.5, "stop": ["END"],
        "tools": [{"type": "function", "function": tool}],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Let me.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
            {"role": "user", "content": [{"type": "text", "text": "[[tokens=1]]"}]},
        ],
    });
    insta::assert_snapshot!(body_of("/v1/chat/completions", request).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn response_request_body_is_stable() {
    let request = json!({
        "model": "sonnet", "instructions": "be brief", "max_output_tokens": 99, "reasoning": {"effort": "low"},
        "tools": [{"type": "web_search", "user_location": {"type": "approximate", "country": "CH"}}],
        "input": [
            {"role": "user", "content": "one"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "two", "annotations": []}]},
            {"role": "user", "content": "[[tokens=1]]"},
        ],
    });
    insta::assert_snapshot!(body_of("/v1/responses", request).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_request_body_is_stable() {
    let request = json!({"model": "haiku", "prompt": "[[tokens=1]]"});
    insta::assert_snapshot!(body_of("/v1/completions", request).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_request_body_is_stable() {
    let request = json!({
        "model": "opus", "max_tokens": 4096, "system": "be brief", "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "[[tokens=1]]", "cache_control": {"type": "ephemeral"}},
        ]}],
    });
    insta::assert_snapshot!(body_of("/v1/messages", request).await);
}
