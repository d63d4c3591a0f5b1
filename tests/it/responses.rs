//! Responses through the real CLI, and their state after the server is killed.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{HttpClient, HttpResponse, TestServer};

async fn post(server: &TestServer, path: &str, body: Value) -> Value {
    read(
        server
            .http
            .post(server.url(path))
            .json(&body)
            .send()
            .await
            .unwrap(),
    )
    .await
}

async fn read(response: HttpResponse) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn upstream_body(server: &TestServer) -> Value {
    (*server.upstream().requests().last().unwrap().body).clone()
}

fn text(response: &Value) -> &str {
    response["output"].as_array().unwrap().last().unwrap()["content"][0]["text"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn response_continues_reasoning_and_tool_calls_in_the_same_process() {
    let server = TestServer::real().await.workers(1).start().await;
    let worker = server.only_worker().await;
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}}});
    let tools = json!([{"type": "function", "name": "look", "parameters": schema}]);
    let ask = |fields: Value| {
        let mut body = json!({"model": "haiku", "tools": tools, "reasoning": {"effort": "low", "summary": "auto"}});
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        body
    };
    let prompt = r#"[[thinking="let me see" say="Let me." tool=look input={"z":"1"}]]"#;
    let first = post(
        &server,
        "/v1/responses",
        ask(json!({"input": prompt, "instructions": "be brief"})),
    )
    .await;
    let kinds: Vec<_> = first["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(first["output"][0]["summary"][0]["text"], "let me see");
    assert_eq!(first["output"][2]["arguments"], r#"{"z":"1"}"#);
    assert_eq!(upstream_body(&server)["system"][1]["text"], "be brief");

    let output = json!([{"type": "function_call_output", "call_id": first["output"][2]["call_id"], "output": "seen"}]);
    let next = ask(
        json!({"input": output, "previous_response_id": first["id"], "instructions": "be brief"}),
    );
    let second = post(&server, "/v1/responses", next).await;
    assert_eq!(text(&second), "Tool results: seen");
    let continued = upstream_body(&server)["messages"].clone();
    assert_eq!(server.workers(), [worker], "the same process");

    // A client that sends the whole conversation back gets the same upstream messages.
    let mut items = vec![json!({"role": "user", "content": prompt})];
    items.extend(first["output"].as_array().unwrap().clone());
    items.push(output[0].clone());
    let whole = ask(json!({"input": items, "instructions": "be brief", "store": false}));
    post(&server, "/v1/responses", whole).await;
    assert_eq!(
        upstream_body(&server)["messages"],
        continued,
        "reasoning and tool calls are unchanged"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_tokens_of_stored_conversation_are_counted_without_a_model_call() {
    let server = TestServer::real().await.workers(1).start().await;
    let first = post(
        &server,
        "/v1/responses",
        json!({"model": "haiku", "input": "[[tokens=40]]"}),
    )
    .await;
    let calls = || {
        server
            .upstream()
            .requests()
            .iter()
            .filter(|request| request.path == "/v1/messages")
            .count()
    };
    let before = calls();
    let short = post(
        &server,
        "/v1/responses/input_tokens",
        json!({"model": "haiku", "input": "and?"}),
    )
    .await;
    let long = json!({"model": "haiku", "input": "and?", "previous_response_id": first["id"]});
    let long = post(&server, "/v1/responses/input_tokens", long).await;
    assert!(
        long["input_tokens"].as_u64() > short["input_tokens"].as_u64(),
        "{long} {short}"
    );
    assert_eq!(calls(), before);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_serves_responses_with_structured_output() {
    let server = TestServer::real().await.workers(1).start().await;
    let url = server.url("/v1/responses").replace("http:", "ws:");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let request = json!({
        "type": "response.create", "model": "haiku", "input": r#"[[say="{\"a\":1}"]]"#, "store": false,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
    });
    socket
        .send(Message::text(request.to_string()))
        .await
        .unwrap();
    let mut last = Value::Null;
    while last["type"] != "response.completed" {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
            continue;
        };
        last = serde_json::from_str(&text).unwrap();
        assert!(
            last["type"] != "error" && last["type"] != "response.failed",
            "{last}"
        );
    }
    assert_eq!(text(&last["response"]), r#"{"a":1}"#);
    let format = &upstream_body(&server)["output_config"]["format"];
    assert_eq!(format["type"], "json_schema", "{format}");
    socket.close(None).await.unwrap();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_responses_survive_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(2).spawn_in(folder.path()).await;
    let client = HttpClient::new();
    let create = async |fields: Value| {
        let request = client.post(server.url("/v1/responses")).json(&fields);
        read(request.send().await.unwrap()).await
    };
    let whole = create(json!({"model": "haiku", "input": "[[tokens=2]]"})).await;
    let half =
        create(json!({"model": "haiku", "input": "[[stall_at=2]]", "background": true})).await;
    server.kill().await;

    let next = TestServer::fake().workers(1).start_in(folder.path()).await;
    let get = async |id: &Value| {
        let url = next.url(&format!("/v1/responses/{}", id.as_str().unwrap()));
        read(next.http.get(url).send().await.unwrap()).await
    };
    assert_eq!(get(&whole["id"]).await, whole);
    assert_eq!(get(&half["id"]).await["status"], "failed");
    let follow_up =
        json!({"model": "haiku", "input": "[[tokens=1]]", "previous_response_id": whole["id"]});
    assert_eq!(
        post(&next, "/v1/responses", follow_up).await["status"],
        "completed"
    );
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graceful_shutdown_marks_background_response_failed() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(folder.path()).await;
    let client = HttpClient::new();
    let body = json!({"model": "haiku", "input": "[[stall_at=2]]", "background": true});
    let made = read(
        client
            .post(server.url("/v1/responses"))
            .json(&body)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let is_busy = |ready: &Value| ready["workers"]["busy"] == 1;
    server
        .wait_until("the response is in progress", is_busy)
        .await;
    server.end().await;

    let next = TestServer::fake().workers(1).start_in(folder.path()).await;
    let url = next.url(&format!("/v1/responses/{}", made["id"].as_str().unwrap()));
    let failed = read(next.http.get(url).send().await.unwrap()).await;
    assert_eq!(
        (&failed["status"], &failed["background"]),
        (&json!("failed"), &json!(true))
    );
    next.end().await;
}
