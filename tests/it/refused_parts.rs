//! Request parts that Anthropic rejects and the server removes or converts, with the real CLI.

use serde_json::{Value, json};

use crate::support::TestServer;

fn last_body(server: &TestServer) -> Value {
    Value::clone(&server.upstream().requests().last().unwrap().body)
}

/// Posts a message and returns the status, the ignored fields and the body.
async fn post_message(server: &TestServer, body: &Value) -> (u16, String, Value) {
    let response = server
        .http
        .post(server.url("/v1/messages"))
        .json(body)
        .send()
        .await
        .unwrap();
    let header = response.headers().get("x-switchboard-ignored");
    let ignored = header.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    (
        response.status().as_u16(),
        ignored,
        response.json().await.unwrap(),
    )
}

fn message_body(content: impl Into<Value>) -> Value {
    json!({"model": "haiku", "max_tokens": 64, "messages": [{"role": "user", "content": content.into()}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn field_unknown_upstream_is_dropped_and_reported() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut request = message_body("[[tokens=1]]");
    request["brand_new"] = json!({"a": 1});
    let mut calls = Vec::new();
    for stream in [false, true, false] {
        request["stream"] = json!(stream);
        let response = server
            .http
            .post(server.url("/v1/messages"))
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-switchboard-ignored"], "brand_new");
        let answer = response.text().await.unwrap();
        assert!(answer.contains("w1"), "{answer}");
        calls.push(server.upstream().requests().len());
    }
    assert!(
        calls[0] > 1 && calls[2] == calls[0] + 2,
        "later requests leave it out at once: {calls:?}"
    );
    assert_eq!(last_body(&server)["brand_new"], Value::Null);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_control_is_removed_from_thinking_blocks() {
    let server = TestServer::real().await.workers(1).start().await;
    let cache_control = json!({"type": "ephemeral"});
    let thought =
        json!({"type": "redacted_thinking", "data": "AAAA", "cache_control": cache_control});
    let mut request = message_body("[[tokens=1]]");
    let answer =
        json!([thought, {"type": "text", "text": "Hello.", "cache_control": cache_control}]);
    let earlier = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": answer}),
    ];
    let messages = request["messages"].as_array_mut().unwrap();
    messages.splice(0..0, earlier);
    let (status, ignored, answer) = post_message(&server, &request).await;
    assert_eq!(
        (status, ignored.as_str()),
        (200, "messages[].content[].cache_control"),
        "{answer}"
    );
    let content = &last_body(&server)["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({"type": "redacted_thinking", "data": "AAAA"})
    );
    assert_eq!(
        content[1]["cache_control"], cache_control,
        "cache_control of other blocks stays"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_too_long_is_reported_in_the_wording_of_each_api() {
    let server = TestServer::real().await.workers(1).start().await;
    // The CLI does not pass on the token counts.
    for upstream in [
        "prompt is too long: 200001 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 3 + 2 > 4, decrease input length or `max_tokens` and try again",
    ] {
        let refusal = format!("[[status=400 message=\"{upstream}\"]]");
        let (status, _, answer) = post_message(&server, &message_body(refusal.as_str())).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["type"]),
            (400, &json!("invalid_request_error")),
            "{answer}"
        );
        assert_eq!(error["message"], "prompt is too long");
        let chat = server.chat(&refusal).send().await;
        assert_eq!(
            chat.error(),
            "400 invalid_request_error context_length_exceeded"
        );
        let words = chat.body["error"]["message"].as_str().unwrap();
        assert!(
            words.starts_with("This model's maximum context length is "),
            "{words}"
        );
    }
    let (status, _, answer) = post_message(
        &server,
        &message_body(r#"[[status=400 message="odd: is odd"]]"#),
    )
    .await;
    assert_eq!(
        (status, &answer["error"]["message"]),
        (400, &json!("odd: is odd")),
        "{answer}"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_tool_schema_is_converted_and_restored_in_its_calls() {
    let server = TestServer::real().await.workers(1).start().await;
    let schema = json!({
        "type": "object",
        "properties": {"$filter": {"type": "string"}, "user name": {"type": "string"}},
        "anyOf": [{"required": ["$filter"]}, {"required": ["user name"]}],
    });
    let tool = json!({"type": "function", "function": {"name": "query", "parameters": schema}});
    let chat = || {
        server
            .chat(r#"[[tool=query input={"_filter":"a","x":"_filter"}]]"#)
            .with("tools", json!([tool]))
    };
    let answer = chat().send().await;
    let call = &answer.body["choices"][0]["message"]["tool_calls"][0]["function"];
    let whole = call["arguments"].as_str().unwrap().to_owned();
    let mut streamed = String::new();
    for event in chat().stream().await.rest().await {
        let Ok(event) = serde_json::from_str::<Value>(&event) else {
            continue;
        };
        let call = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
        streamed += call["arguments"].as_str().unwrap_or_default();
    }
    for arguments in [whole, streamed] {
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert_eq!(arguments, json!({"$filter": "a", "x": "_filter"}));
    }
    let sent = &last_body(&server)["tools"][0]["input_schema"];
    let names: Vec<_> = sent["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["_filter", "user_name"]);
    assert_eq!(sent["anyOf"], Value::Null);
    assert!(
        sent["description"]
            .as_str()
            .unwrap()
            .contains("one or more of these"),
        "{sent}"
    );

    let mut request = message_body(r#"[[tool=query input={"user_name":"a"}]]"#);
    request["tools"] =
        json!([{"name": "query", "input_schema": schema, "cache_control": {"type": "ephemeral"}}]);
    let (status, _, answer) = post_message(&server, &request).await;
    assert_eq!(
        (status, &answer["content"][0]["input"]),
        (200, &json!({"user name": "a"})),
        "{answer}"
    );
    server.end().await;
}
