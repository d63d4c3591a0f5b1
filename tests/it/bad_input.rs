//! Invalid requests, sent through the whole server.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

const CHAT: &str = "/v1/chat/completions";

/// A chat request with one field changed.
fn chat_with(field: &str, value: impl Into<Value>) -> String {
    let mut body = json!({"model": "haiku", "messages": [{"role": "user", "content": "hi"}]});
    body[field] = value.into();
    body.to_string()
}

fn messages(messages: Value) -> String {
    chat_with("messages", messages)
}

fn bodies() -> Vec<(&'static str, String)> {
    let content = |content: Value| messages(json!([{"role": "user", "content": content}]));
    vec![
        ("no body", String::new()),
        ("not JSON", "nonsense".to_owned()),
        (
            "JSON cut off",
            r#"{"model": "haiku", "messages": ["#.to_owned(),
        ),
        ("two documents", "{} {}".to_owned()),
        ("not an object", "[1]".to_owned()),
        (
            "deeply nested",
            format!("{}{}", "[".repeat(1000), "]".repeat(1000)),
        ),
        (
            "no model",
            r#"{"messages": [{"role": "user", "content": "hi"}]}"#.to_owned(),
        ),
        ("model of a wrong type", chat_with("model", 5)),
        ("unknown model", chat_with("model", "gemini-9")),
        ("messages missing", r#"{"model": "haiku"}"#.to_owned()),
        ("messages of a wrong type", messages(json!("hi"))),
        ("no messages", messages(json!([]))),
        ("message of a wrong type", messages(json!(["hi"]))),
        (
            "unknown role",
            messages(json!([{"role": "king", "content": "hi"}])),
        ),
        ("no role", messages(json!([{"content": "hi"}]))),
        ("empty content", content(json!(""))),
        ("blank content", content(json!(" \n"))),
        ("no content", messages(json!([{"role": "user"}]))),
        ("content of a wrong type", content(json!(5))),
        (
            "unknown part",
            content(json!([{"type": "smell", "text": "x"}])),
        ),
        ("temperature too high", chat_with("temperature", 2.1)),
        ("temperature below zero", chat_with("temperature", -0.1)),
        (
            "temperature of a wrong type",
            chat_with("temperature", "hot"),
        ),
        ("top_p too high", chat_with("top_p", 1.5)),
        ("n = 0", chat_with("n", 0)),
        ("n = 9", chat_with("n", 9)),
        ("max_tokens = 0", chat_with("max_tokens", 0)),
        (
            "max_tokens of a wrong type",
            chat_with("max_tokens", "many"),
        ),
        ("stream of a wrong type", chat_with("stream", "yes")),
        (
            "stream_options without stream",
            chat_with("stream_options", json!({"include_usage": true})),
        ),
        ("stop of a wrong type", chat_with("stop", 5)),
        (
            "tools",
            chat_with(
                "tools",
                json!([{"type": "function", "function": {"name": "a b"}}]),
            ),
        ),
        ("too large", content(json!("x".repeat(5000)))),
    ]
}

/// Rendered table of error responses.
#[derive(Default)]
struct Table(String);

impl Table {
    /// Asserts that the answer is an error envelope with all four fields, and adds a row for it.
    fn add(&mut self, what: &str, answer: &Answer) {
        assert_eq!(answer.headers["content-type"], "application/json", "{what}");
        assert!(answer.headers.contains_key("x-request-id"), "{what}");
        let fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["error"], "{what}");
        let error = answer.body["error"].as_object().unwrap();
        let mut fields: Vec<_> = error.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["code", "message", "param", "type"], "{what}");
        let kind = error["type"].as_str().unwrap();
        let message = error["message"].as_str().unwrap();
        writeln!(
            self.0,
            "{what}\n    {} {kind}, code {}, param {}\n    {message}",
            answer.status, error["code"], error["param"]
        )
        .unwrap();
    }
}

async fn send_body(server: &TestServer, method: Method, path: &str, body: String) -> Answer {
    let request = server.http.request(method, server.url(path)).body(body);
    Answer::read(
        request
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap(),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_in_the_openai_error_envelope() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__BODY_LIMIT_BYTES", 4096)
        .start()
        .await;
    let mut table = Table::default();
    for (what, body) in bodies() {
        table.add(what, &send_body(&server, Method::POST, CHAT, body).await);
    }
    for path in [
        "/",
        "/v1",
        "/v1/chat/completion/",
        "/v2/chat/completions",
        "/v1/embeddings",
    ] {
        let answer = send_body(&server, Method::POST, path, chat_with("n", 1)).await;
        table.add(&format!("POST {path}"), &answer);
    }
    for (method, path) in [
        (Method::GET, CHAT),
        (Method::DELETE, "/v1/models"),
        (Method::POST, "/health"),
    ] {
        let answer = send_body(&server, method.clone(), path, String::new()).await;
        assert!(answer.headers.contains_key("allow"), "{method} {path}");
        table.add(&format!("{method} {path}"), &answer);
    }
    table.add(
        "GET /v1/models/gemini-9",
        &send_body(&server, Method::GET, "/v1/models/gemini-9", String::new()).await,
    );
    assert_eq!(
        server.chat("[[tokens=1]]").send().await.text(),
        "w0 ",
        "the server still answers"
    );
    server.end().await;

    let server = TestServer::fake()
        .set("SWITCHBOARD_AUTH__KEYS", "the-right-key")
        .start()
        .await;
    table.add(
        "no key",
        &send_body(&server, Method::POST, CHAT, chat_with("n", 1)).await,
    );
    let request = server
        .http
        .post(server.url(CHAT))
        .bearer_auth("a-wrong-key")
        .body(chat_with("n", 1));
    table.add(
        "wrong key",
        &Answer::read(request.send().await.unwrap()).await,
    );
    server.end().await;

    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__STRICT", true)
        .start()
        .await;
    for (field, value) in [
        ("presence_penalty", json!(1)),
        ("logit_bias", json!({"1": 1})),
        ("x_unknown", json!(1)),
    ] {
        let answer = send_body(&server, Method::POST, CHAT, chat_with(field, value)).await;
        table.add(&format!("strict: {field}"), &answer);
    }
    for (what, role) in [
        ("instructions only", "system"),
        ("assistant last", "assistant"),
    ] {
        let body = messages(json!([{"role": role, "content": "hi"}]));
        table.add(
            &format!("strict: {what}"),
            &send_body(&server, Method::POST, CHAT, body).await,
        );
    }
    server.end().await;
    insta::assert_snapshot!(table.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lenient_server_lists_ignored_fields_in_a_header() {
    let server = TestServer::fake().start().await;
    let answer = send_body(
        &server,
        Method::POST,
        CHAT,
        chat_with("presence_penalty", 1),
    )
    .await;
    assert_eq!(
        (answer.status, &answer.headers["x-switchboard-ignored"]),
        (200, &"presence_penalty".parse().unwrap())
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lenient_server_repairs_conversations_and_lists_the_repairs() {
    let call =
        json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "[1]"}});
    let chat = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "user", "content": ""},
        {"role": "user", "content": "well?"},
        {"role": "tool", "tool_call_id": "c", "content": "seen"},
    ]);
    let call = json!({"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"});
    let input =
        json!([{"role": "user", "content": "hi"}, call, {"role": "user", "content": "well?"}]);
    let prefilled =
        json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "The"}]);
    let body = |field: &str, value: &Value| {
        json!({"model": "haiku", "max_tokens": 99, field: value}).to_string()
    };
    let bodies = [
        (
            CHAT,
            body("messages", &chat),
            "arguments, empty_messages, results_moved",
        ),
        (
            "/v1/responses",
            json!({"model": "haiku", "input": input}).to_string(),
            "calls_without_results",
        ),
        (
            "/v1/messages",
            body("messages", &prefilled),
            "assistant_last",
        ),
    ];
    let server = TestServer::fake().start().await;
    for (path, body, repaired) in &bodies {
        let answer = send_body(&server, Method::POST, path, body.clone()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.headers["x-switchboard-repaired"], repaired, "{path}");
    }
    server.end().await;
    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__STRICT", true)
        .start()
        .await;
    for (path, body, _) in bodies {
        assert_eq!(
            send_body(&server, Method::POST, path, body).await.status,
            400,
            "{path}"
        );
    }
    server.end().await;
}
