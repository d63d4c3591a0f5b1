//! Cost of requests that a hook refuses: free before the run, charged after it.

use serde_json::{Value, json};

use super::setup::{HookReply, HookServer, start};
use crate::support::{ServerProcess, TestServer};

const PROMPT: &str = r#"[[say="fine" usage_in=1000 usage_out=100]]"#;

/// Starts a server whose only hook refuses at `point`.
async fn refusing_server(point: &str) -> (ServerProcess, HookServer) {
    let refusal =
        json!({"action": "refuse", "code": "house_rule", "message": "Not in this house."});
    let hook = HookServer::replying(HookReply::Action(refusal)).await;
    let config = format!(
        r#"
        [[hooks.list]]
        name = "judge"
        kind = "http"
        url = "{}"
        points = ["{point}"]
        stream = "whole"
        timeout_ms = 10000
        "#,
        hook.url
    );
    (start(TestServer::real().await, &config).await, hook)
}

/// Returns the totals of the ledger: requests and nano-dollars.
async fn charged(server: &ServerProcess) -> (u64, u64) {
    let (_, usage) = server.get("/v1/usage").await;
    let figure = |name: &str| usage["totals"][name].as_u64().unwrap();
    (figure("requests"), figure("cost_nano_usd"))
}

fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_refused_before_its_run_costs_nothing() {
    let (server, hook) = refusing_server("before").await;
    let answer = server.chat(PROMPT).send().await;
    assert_eq!(answer.error(), "403 invalid_request_error hook_refused");
    assert!(
        message(&answer.body).contains("Not in this house."),
        "{}",
        answer.body
    );
    assert_eq!(
        answer.headers["x-switchboard-hooks"],
        "judge; point=before; verdict=refuse"
    );
    assert_eq!(
        server.chat(PROMPT).streamed_outcome().await,
        "403 invalid_request_error hook_refused"
    );
    assert_eq!(hook.asked().len(), 2);
    assert_eq!(server.upstream().requests().len(), 0);
    assert_eq!(charged(&server).await, (0, 0));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_refused_after_its_run_is_charged_and_told_so() {
    let (server, hook) = refusing_server("after").await;
    let answer = server.chat(PROMPT).send().await;
    assert_eq!(answer.error(), "403 invalid_request_error hook_refused");
    let message = message(&answer.body);
    assert!(
        message.contains("Not in this house.") && message.contains("charged"),
        "{message}"
    );
    assert_eq!(server.upstream().requests().len(), 1);
    // Haiku costs 0.1 (input) and 0.5 (output) dollars per million tokens.
    assert_eq!(charged(&server).await, (1, 1000 * 100 + 100 * 500));
    assert_eq!(hook.asked()[0]["cost_usd"], json!(0.000_15));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_refused_at_its_end_sends_no_text_and_is_charged() {
    let (server, _hook) = refusing_server("after").await;
    let outcome = server.chat(PROMPT).streamed_outcome().await;
    assert!(
        !outcome.contains("fine") && outcome.ends_with("invalid_request_error hook_refused"),
        "{outcome}"
    );
    assert_eq!(charged(&server).await, (1, 1000 * 100 + 100 * 500));
    server.end().await;
}
