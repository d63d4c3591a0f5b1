//! Masking of answers while they are streamed: nothing forbidden leaves, wherever it is cut.

use serde_json::{Value, json};

use super::setup::start;
use crate::support::{ServerProcess, TestServer};

/// Answer in pieces: `passcode plan` lies in two of them, and the first time `pass` in one more,
/// because the delta comes before the text.
const CUT_WORD: &str = r#"[[delta={"type":"text_delta","text":"A pass"} say="code plan, and one more: passcode plan."]]"#;
const MASKED: &str = "A ***, and one more: ***.";

const CONFIG: &str = r#"
    [[hooks.list]]
    name = "mask"
    kind = "filter"
    points = ["after"]
    words = ["passcode plan"]
    patterns = ["\\b\\d{4}-\\d{4}\\b"]
    then = "redact"
    replacement = "***"
    stream = "window"
"#;

/// Sends a request whose answer is streamed, and returns the data of its events.
async fn stream(server: &ServerProcess, path: &str, mut body: Value) -> Vec<String> {
    body["model"] = json!("haiku");
    body["stream"] = json!(true);
    let request = server.http.post(server.url(path)).json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(str::to_owned).collect()
}

/// Joins the texts at `pointer` in the events that have one.
fn join(events: &[String], pointer: &str) -> String {
    let values = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok());
    values
        .filter_map(|value| Some(value.pointer(pointer)?.as_str()?.to_owned()))
        .collect()
}

fn user(prompt: &str) -> Value {
    json!([{"role": "user", "content": prompt}])
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_finds_words_that_are_cut_over_pieces_of_a_stream() {
    let server = start(TestServer::real().await, CONFIG).await;
    let chat = stream(
        &server,
        "/v1/chat/completions",
        json!({"messages": user(CUT_WORD)}),
    )
    .await;
    assert_eq!(join(&chat, "/choices/0/delta/content"), MASKED);
    let messages = json!({"messages": user(CUT_WORD), "max_tokens": 100});
    let messages = stream(&server, "/v1/messages", messages).await;
    assert_eq!(join(&messages, "/delta/text"), MASKED);
    let responses = stream(&server, "/v1/responses", json!({"input": CUT_WORD})).await;
    let deltas: Vec<String> = responses
        .iter()
        .filter(|event| event.contains("output_text.delta"))
        .cloned()
        .collect();
    assert_eq!(join(&deltas, "/delta"), MASKED);
    // The last event has the whole answer once more. The prompt is not repeated in any event.
    for event in [chat, messages, responses].concat() {
        assert!(!event.contains("passcode"), "{event}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_finds_a_pattern_at_the_very_end_of_a_stream() {
    let server = start(TestServer::real().await, CONFIG).await;
    let prompt = r#"[[delta={"type":"text_delta","text":"Code 1234"} say="-5678"]]"#;
    let chat = stream(
        &server,
        "/v1/chat/completions",
        json!({"messages": user(prompt)}),
    )
    .await;
    assert_eq!(join(&chat, "/choices/0/delta/content"), "Code ***");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_lets_a_long_stream_begin_before_its_end() {
    let server = start(TestServer::real().await, CONFIG).await;
    let mut events = server.chat("[[tokens=500 gap_ms=20]]").stream().await;
    assert!(events.next_text().await.starts_with('w'));
    let requests = server.upstream().requests();
    assert_eq!(
        requests[0].outcome,
        messages_stand_in::Outcome::Running,
        "the answer goes on"
    );
    drop(events);
    server
        .wait_until("the request is over", |ready| ready["workers"]["busy"] == 0)
        .await;
    server.end().await;
}
