//! Parameters and formats that single models do not support, with the real CLI.

use serde_json::{Value, json};

use crate::support::TestServer;

fn last_body(server: &TestServer) -> Value {
    Value::clone(&server.upstream().requests().last().unwrap().body)
}

fn tool(name: &str) -> Value {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

#[tokio::test(flavor = "multi_thread")]
async fn parameter_unsupported_by_model_is_dropped_and_reported() {
    let server = TestServer::real().await.workers(1).start().await;
    let answer = server
        .chat("[[tokens=1]]")
        .with("temperature", 0.2)
        .with("top_p", 1.0)
        .send()
        .await;
    assert_eq!(answer.headers["x-switchboard-ignored"], "temperature");
    let body = last_body(&server);
    assert_eq!(
        (&body["temperature"], &body["top_p"]),
        (&Value::Null, &Value::Null)
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_mode_rejects_parameter_unsupported_by_model() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_SERVER__STRICT", "true")
        .start()
        .await;
    let answer = server
        .chat("[[tokens=1]]")
        .with("temperature", 0.2)
        .send()
        .await;
    assert_eq!(
        answer.error(),
        "400 invalid_request_error unsupported_parameter"
    );
    assert!(server.upstream().requests().is_empty());
    server.end().await;
}

/// A model without a row in the restrictions table refuses a parameter once; later requests leave
/// it out.
#[tokio::test(flavor = "multi_thread")]
async fn parameter_refused_upstream_is_dropped_from_later_requests() {
    let server = TestServer::real().await.workers(1);
    let server = server
        .set(
            "SWITCHBOARD_MODELS__RESTRICTIONS",
            r#"{"claude-haiku-5-5*" = ""}"#,
        )
        .start()
        .await;
    let prompt = "[[say=\"ok\"]]";
    let first = server.chat(prompt).with("temperature", 0.2).send().await;
    assert_eq!(first.text(), "ok");
    assert_eq!(
        first.headers["x-switchboard-ignored"], "temperature",
        "reported although learned during the request"
    );
    // The CLI retries once with the same body before the gateway retries without the parameter.
    assert_eq!(server.upstream().requests().len(), 3);
    // The answered call is charged; the refused calls before it cost nothing.
    let usage = server
        .http
        .get(server.url("/v1/usage"))
        .send()
        .await
        .unwrap()
        .json::<Value>()
        .await
        .unwrap();
    assert!(
        usage["totals"]["cost_usd"]
            .as_f64()
            .is_some_and(|cost| cost > 0.0),
        "{usage}"
    );
    let second = server
        .chat("[[say=\"again\"]]")
        .with("temperature", 0.2)
        .send()
        .await;
    assert_eq!(second.text(), "again");
    assert_eq!(second.headers["x-switchboard-ignored"], "temperature");
    assert_eq!(server.upstream().requests().len(), 4);
    assert_eq!(last_body(&server)["temperature"], Value::Null);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_tool_call_is_emulated_with_a_response_schema() {
    let server = TestServer::real().await.workers(1).start().await;
    let choice = json!({"type": "function", "function": {"name": "b"}});
    let chat = server
        .chat(r#"[[say="{\"a\": 1}"]]"#)
        .with("model", "sonnet")
        .with("tool_choice", choice);
    let answer = chat
        .with("tools", json!([tool("a"), tool("b")]))
        .send()
        .await;
    let choice = &answer.body["choices"][0];
    let call = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(
        (&call["name"], &call["arguments"]),
        (&json!("b"), &json!("{\"a\": 1}")),
        "{choice}"
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    let body = last_body(&server);
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
    assert_eq!(
        body["output_config"]["format"]["schema"]["required"],
        json!(["a"])
    );

    let chat = server
        .chat("[[say=\"no\"]]")
        .with("model", "sonnet")
        .with("tool_choice", "required");
    let answer = chat
        .with("tools", json!([tool("a"), tool("b")]))
        .send()
        .await;
    assert_eq!(answer.headers["x-switchboard-ignored"], "tool_choice");
    let body = last_body(&server);
    assert_eq!(body["tool_choice"], Value::Null);
    assert!(
        body["system"].to_string().contains("Call at least one"),
        "{}",
        body["system"]
    );
    server.end().await;
}

/// Role and first line of each message of the last upstream request.
fn message_openings(server: &TestServer) -> Vec<String> {
    let body = last_body(server);
    let words = |message: &Value| {
        let text = message["content"][0]["text"].as_str().unwrap();
        format!(
            "{} {}",
            message["role"].as_str().unwrap(),
            text.lines().next().unwrap()
        )
    };
    body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(words)
        .collect()
}

/// Earlier instructions stay unchanged, so that the prompt cache is still hit.
#[tokio::test(flavor = "multi_thread")]
async fn system_messages_mid_conversation_keep_their_position() {
    let server = TestServer::real().await.workers(1).start().await;
    let messages = json!([
        {"role": "system", "content": "be brief"}, {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"}, {"role": "system", "content": "in French"},
        {"role": "user", "content": "[[say=\"ok\"]]"},
    ]);
    for (model, expected) in [
        (
            "haiku",
            &[
                "user one",
                "assistant two",
                "user [[say=\"ok\"]]",
                "system in French",
            ][..],
        ),
        (
            "claude-haiku-4-5",
            &[
                "user one",
                "assistant two",
                "user <system>",
                "user [[say=\"ok\"]]",
            ],
        ),
    ] {
        let chat = server
            .chat("")
            .with("model", model)
            .with("messages", messages.clone());
        assert_eq!(chat.send().await.text(), "ok", "{model}");
        assert_eq!(message_openings(&server), expected);
        let body = last_body(&server);
        assert_eq!(
            body["system"].as_array().unwrap().len(),
            2,
            "{}",
            body["system"]
        );
        assert!(
            !body["messages"][3]["content"][0]["cache_control"].is_null(),
            "{body}"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assistant_prefill_is_continued_by_models_that_support_it() {
    let server = TestServer::real().await.workers(1).start().await;
    let messages = json!([
        {"role": "user", "content": "[[say=\"ok\"]]"}, {"role": "assistant", "content": "Once "},
    ]);
    for (model, last, repaired) in [
        ("claude-haiku-4-5", "assistant Once", None),
        (
            "haiku",
            "user Your last message was cut off.",
            Some("assistant_last"),
        ),
    ] {
        let answer = server
            .chat("")
            .with("model", model)
            .with("messages", messages.clone())
            .send()
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            message_openings(&server).last().unwrap().starts_with(last),
            "{:?}",
            message_openings(&server)
        );
        let reported = answer
            .headers
            .get("x-switchboard-repaired")
            .map(|name| name.to_str().unwrap());
        assert_eq!(reported, repaired, "{model}");
    }
    server.end().await;
}

/// The stand-in rejects the thinking modes that the real model rejects.
#[tokio::test(flavor = "multi_thread")]
async fn thinking_is_disabled_in_the_form_each_model_accepts() {
    let server = TestServer::real().await.workers(1).start().await;
    for (model, thinking, ignored) in [
        ("claude-haiku-4-5", None, None),
        ("haiku", None, None),
        ("sonnet", Some("between_tools"), None),
        ("opus", Some("adaptive"), Some("reasoning_effort")),
    ] {
        let chat = server
            .chat("[[say=\"ok\"]]")
            .with("model", model)
            .with("reasoning_effort", "none");
        let answer = chat.send().await;
        assert_eq!(answer.text(), "ok", "{model}");
        let reported = answer
            .headers
            .get("x-switchboard-ignored")
            .map(|name| name.to_str().unwrap());
        assert_eq!(reported, ignored, "{model}");
        let body = last_body(&server);
        let kind = body["thinking"]["type"]
            .as_str()
            .filter(|kind| *kind != "disabled");
        assert_eq!(kind, thinking, "{model}: {body}");
        // Without a thinking parameter, a small `max_tokens` leaves no room for thinking.
        let small = server
            .chat("[[say=\"ok\"]]")
            .with("model", model)
            .with("max_tokens", 16)
            .send()
            .await;
        assert_eq!(small.text(), "ok", "{model}");
        assert!(!small.headers.contains_key("x-switchboard-ignored"));
    }
    let display = json!({"type": "adaptive", "display": "updates"});
    let between = json!({"type": "between_tools"});
    for thinking in [display, between] {
        let request = json!({"model": "sonnet", "max_tokens": 2000, "thinking": thinking,
            "messages": [{"role": "user", "content": "[[say=\"ok\"]]"}]});
        let answer = server
            .http
            .post(server.url("/v1/messages"))
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_schemas_of_older_drafts_are_converted_to_2020_12() {
    let server = TestServer::real().await.workers(1).start().await;
    let parameters = json!({"type": "object", "properties": {"a": {"type": "array", "items": [{"type": "any"}]}}});
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": parameters}});
    assert_eq!(
        server
            .chat("[[say=\"ok\"]]")
            .with("tools", json!([tool]))
            .send()
            .await
            .text(),
        "ok"
    );
    let a = last_body(&server)["tools"][0]["input_schema"]["properties"]["a"].clone();
    assert_eq!(a, json!({"type": "array", "prefixItems": [{}]}));
    server.end().await;
}
