//! Anthropic's Messages API, through the real CLI to the stand-in of the same API upstream.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::TestServer;

const SCHEMA: &str =
    r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"integer"}}}"#;

fn message_body(prompt: &str) -> Value {
    json!({"model": "haiku", "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}]})
}

async fn post(server: &TestServer, path: &str, body: String) -> (u16, String) {
    let response = server
        .http
        .post(server.url(path))
        .body(body)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Posts a request and returns the response body; the status must be 200.
async fn post_message(server: &TestServer, body: &Value) -> Value {
    let (status, text) = post(server, "/v1/messages", body.to_string()).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn upstream_body(server: &TestServer) -> Value {
    (*server.upstream().requests().last().unwrap().body).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_returned_whole_or_streamed() {
    let server = TestServer::real().await.start().await;
    let mut request =
        message_body("[[tokens=3 usage_in=10 usage_cache_read=4 usage_cache_write=3]]");
    let answer = post_message(&server, &request).await;
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "w1 w2 w3"}])
    );
    let usage = json!({
        "input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 0}, "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 0},
    });
    assert_eq!(
        (&answer["usage"], &answer["stop_reason"]),
        (&usage, &json!("end_turn"))
    );
    assert_eq!(
        upstream_body(&server)["thinking"],
        Value::Null,
        "thinking was not requested"
    );

    let mut usage = usage;
    for sent_in_message_start in ["service_tier", "cache_creation"] {
        usage.as_object_mut().unwrap().remove(sent_in_message_start);
    }
    request["stream"] = json!(true);
    let response = server
        .http
        .post(server.url("/v1/messages"))
        .json(&request)
        .send()
        .await
        .unwrap();
    let events = eventsource_stream::Eventsource::eventsource(response.bytes_stream());
    let events: Vec<_> = events.map(Result::unwrap).collect().await;
    let data = events
        .iter()
        .map(|event| serde_json::from_str::<Value>(&event.data).unwrap());
    let mut names = Vec::new();
    let mut text = String::new();
    let mut counted = Value::Null;
    for (event, data) in events.iter().zip(data) {
        assert_eq!(data["type"], event.event);
        match event.event.as_str() {
            "content_block_delta" => text += data["delta"]["text"].as_str().unwrap(),
            "message_delta" => counted = data["usage"].clone(),
            _ => {}
        }
        names.push(event.event.as_str());
    }
    names.dedup();
    assert_eq!(
        names.join(" "),
        "message_start ping content_block_start content_block_delta content_block_stop message_delta message_stop"
    );
    assert_eq!((text.as_str(), counted), ("w1 w2 w3", usage));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thinking_and_sampling_parameters_reach_upstream_unchanged() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut request = message_body(r#"[[thinking="let me see" say="42"]]"#);
    request["system"] = json!([{"type": "text", "text": "be brief"}]);
    request["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    request["model"] = json!("claude-haiku-4-5");
    let answer = post_message(&server, &request).await;
    let thought = &answer["content"][0];
    assert_eq!(
        (&thought["type"], &thought["thinking"]),
        (&json!("thinking"), &json!("let me see"))
    );
    assert!(
        thought["signature"]
            .as_str()
            .is_some_and(|seal| !seal.is_empty()),
        "{answer}"
    );
    let body = upstream_body(&server);
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "budget_tokens": 1024})
    );
    assert_eq!(body["system"][1]["text"], "be brief");

    let messages = json!([
        request["messages"][0],
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": "and now? [[tokens=9]]"},
    ]);
    let request = json!({
        "model": "claude-haiku-4-5", "max_tokens": 100, "messages": messages, "temperature": 0.5, "top_k": 5,
        "stop_sequences": [" w3"],
    });
    let answer = post_message(&server, &request).await;
    assert_eq!(answer["content"][0]["text"], "w1 w2");
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("stop_sequence"), &json!(" w3"))
    );
    let body = upstream_body(&server);
    assert_eq!(
        (&body["max_tokens"], &body["temperature"], &body["top_k"]),
        (&json!(100), &json!(0.5), &json!(5))
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_calls_reach_the_client_and_results_the_model() {
    let server = TestServer::real().await.workers(1).start().await;
    let prompt = r#"[[say="Let me." tool=look input={"z":"1"} tool=Bash input={"a":2}]]"#;
    let tools = format!(
        r#"[{{"name": "look", "input_schema": {SCHEMA}}}, {{"name": "Bash", "input_schema": {SCHEMA}}}]"#
    );
    let body = |messages: &Value| {
        format!(
            r#"{{"model": "haiku", "max_tokens": 4096, "messages": {messages}, "tools": {tools} }}"#
        )
    };
    let question = json!({"role": "user", "content": prompt});
    let (status, text) = post(&server, "/v1/messages", body(&json!([question]))).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["stop_reason"], "tool_use");
    let content = answer["content"].as_array().unwrap();
    let called: Vec<_> = content[1..]
        .iter()
        .map(|call| (&call["name"], &call["input"]))
        .collect();
    assert_eq!(
        called,
        [
            (&json!("look"), &json!({"z": "1"})),
            (&json!("Bash"), &json!({"a": 2}))
        ]
    );
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(upstream_body(&server)["tools"][0]["input_schema"], schema);

    let result =
        |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "seen"});
    let results = json!([result(&content[1]), result(&content[2])]);
    let messages = json!([question, {"role": "assistant", "content": content}, {"role": "user", "content": results}]);
    let (status, text) = post(&server, "/v1/messages", body(&messages)).await;
    assert!(
        status == 200 && text.contains("Tool results: seen"),
        "{text}"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn count_tokens_uses_the_upstream_count() {
    let server = TestServer::real().await.workers(1).start().await;
    let count = async |prompt: &str| {
        let mut request = message_body(prompt);
        request.as_object_mut().unwrap().remove("max_tokens");
        let (status, text) = post(&server, "/v1/messages/count_tokens", request.to_string()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["input_tokens"]
            .as_u64()
            .unwrap()
    };
    let few = count("one").await;
    assert!(few > 0 && count(&"one two three ".repeat(100)).await > few + 100);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_anthropics_shape_and_types() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut table = Vec::new();
    let mut unknown = message_body("hi");
    unknown["model"] = json!("gemini-9");
    let failing = |status: u16| message_body(&format!("[[status={status}]]")).to_string();
    for body in [
        "nonsense".to_owned(),
        json!({"model": "haiku", "messages": []}).to_string(),
        unknown.to_string(),
        failing(429),
        failing(529),
    ] {
        let (status, text) = post(&server, "/v1/messages", body).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(error["request_id"].as_str().unwrap().starts_with("req_"));
        let word = |name: &str| error["error"][name].as_str().unwrap().to_owned();
        table.push(format!("{status} {}: {}", word("type"), word("message")));
    }
    insta::assert_snapshot!(table.join("\n"), @"
400 invalid_request_error: The body is not valid JSON: expected ident at line 1 column 2.
400 invalid_request_error: `max_tokens` is missing.
404 not_found_error: The model `gemini-9` does not exist or you do not have access to it. GET /v1/models lists the names.
429 rate_limit_error: Anthropic's limit for the sign-in of this server is reached. Try again later.
503 overloaded_error: Anthropic is overloaded. Try again later.
");
    server.end().await;
}
