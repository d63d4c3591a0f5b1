//! What a model does not take, with the real CLI.

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
async fn what_a_model_does_not_take_is_left_out_and_named() {
    let server = TestServer::real().await.workers(1).start().await;
    let answer = server.chat("[[tokens=1]]").with("temperature", 0.2).with("top_p", 1.0).send().await;
    assert_eq!(answer.headers["x-switchboard-ignored"], "temperature");
    let body = last_body(&server);
    assert_eq!((&body["temperature"], &body["top_p"]), (&Value::Null, &Value::Null));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_server_refuses_what_a_model_does_not_take() {
    let server = TestServer::real().await.workers(1).set("SWITCHBOARD_SERVER__STRICT", "true").start().await;
    let answer = server.chat("[[tokens=1]]").with("temperature", 0.2).send().await;
    assert_eq!(answer.error(), "400 invalid_request_error unsupported_parameter");
    assert!(server.upstream().requests().is_empty());
    server.end().await;
}

/// A model that the table does not know refuses by itself, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_refuses_is_learnt() {
    let server = TestServer::real().await.workers(1);
    let server =
        server.set("SWITCHBOARD_MODELS__RESTRICTIONS", r#"{"claude-haiku-5-5*" = ""}"#).start().await;
    let prompt = "[[say=\"ok\"]]";
    let first = server.chat(prompt).with("temperature", 0.2).send().await;
    assert_eq!(first.text(), "ok");
    assert_eq!(first.headers["x-switchboard-ignored"], "temperature", "known with the first event");
    // The CLI tries once more by itself, with the same body.
    assert_eq!(server.upstream().requests().len(), 3);
    // The call that was answered is charged, though the one before it cost nothing.
    let usage = server.http.get(server.url("/v1/usage")).send().await.unwrap().json::<Value>().await.unwrap();
    assert!(usage["totals"]["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{usage}");
    let second = server.chat("[[say=\"again\"]]").with("temperature", 0.2).send().await;
    assert_eq!(second.text(), "again");
    assert_eq!(second.headers["x-switchboard-ignored"], "temperature");
    assert_eq!(server.upstream().requests().len(), 4);
    assert_eq!(last_body(&server)["temperature"], Value::Null);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_demanded_is_the_form_of_the_answer() {
    let server = TestServer::real().await.workers(1).start().await;
    let choice = json!({"type": "function", "function": {"name": "b"}});
    let chat = server.chat(r#"[[say="{\"a\": 1}"]]"#).with("model", "sonnet").with("tool_choice", choice);
    let answer = chat.with("tools", json!([tool("a"), tool("b")])).send().await;
    let choice = &answer.body["choices"][0];
    let call = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!((&call["name"], &call["arguments"]), (&json!("b"), &json!("{\"a\": 1}")), "{choice}");
    assert_eq!(choice["finish_reason"], "tool_calls");
    let body = last_body(&server);
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
    assert_eq!(body["output_config"]["format"]["schema"]["required"], json!(["a"]));

    let chat = server.chat("[[say=\"no\"]]").with("model", "sonnet").with("tool_choice", "required");
    let answer = chat.with("tools", json!([tool("a"), tool("b")])).send().await;
    assert_eq!(answer.headers["x-switchboard-ignored"], "tool_choice");
    let body = last_body(&server);
    assert_eq!(body["tool_choice"], Value::Null);
    assert!(body["system"].to_string().contains("Call at least one"), "{}", body["system"]);
    server.end().await;
}
