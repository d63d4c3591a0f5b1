//! Each request makes exactly one upstream call, whatever its stop reason.
//!
//! Left alone, the CLI makes a further, billed call after some stop reasons.

use serde_json::{Value, json};

use crate::support::{Builder, Chat, TestServer};

/// A way for an answer to end: prompt, `max_tokens`, and expected text with finish reason.
type Ending = (&'static str, Option<u32>, &'static str);

/// Stop reasons after which the CLI calls again by itself, and tool calls.
const ENDINGS: [Ending; 6] = [
    ("[[tokens=50]]", Some(3), "w1 w2 w3| length"),
    ("[[thinking=\"a b\" tokens=50]]", Some(3), "w1| length"),
    ("[[tokens=2 stop_reason=max_tokens]]", None, "w1 w2| length"),
    (
        "[[tokens=2 stop_reason=refusal]]",
        None,
        "w1 w2| content_filter",
    ),
    ("[[tool=look input={\"a\":1}]]", None, "| tool_calls"),
    ("[[tool=not_offered input={\"a\":1}]]", None, "| tool_calls"),
];

/// Answers without text, after which the CLI prompts the model again.
const SILENT: [Ending; 2] = [
    ("[[say=\"\"]]", None, "| stop"),
    ("[[thinking=\"a b\" say=\"\"]]", None, "| stop"),
];

/// Chat request that ends with the given stop reason, with further directives in its prompt.
fn chat<'a>(server: &'a TestServer, (prompt, limit, _): Ending, directives: &str) -> Chat<'a> {
    let tool =
        json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}});
    let chat = server
        .chat(&prompt.replace("]]", &format!(" {directives}]]")))
        .with("tools", json!([tool]));
    chat.with("max_tokens", limit.map_or(Value::Null, Value::from))
}

/// Requests each ending `rounds` times from two concurrent clients and counts the upstream calls.
async fn assert_one_call_each(
    server: Builder,
    endings: &[Ending],
    rounds: usize,
    directives: &str,
) {
    let server = server.workers(2).start().await;
    for _ in 0..rounds {
        for ending in endings {
            let ask = || chat(&server, *ending, directives).streamed_outcome();
            let (one, two) = tokio::join!(ask(), ask());
            assert_eq!(
                (one.as_str(), two.as_str()),
                (ending.2, ending.2),
                "{}",
                ending.0
            );
        }
    }
    server.wait_until_idle().await;
    assert_eq!(
        server.upstream().requests().len(),
        2 * rounds * endings.len()
    );
    server.end().await;
}

/// Server with a subscription sign-in, which does not allow the CLI's `--bare` flag.
async fn subscription_server() -> Builder {
    let server = TestServer::real().await.set("ANTHROPIC_API_KEY", "");
    server.set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up")
}

/// The whole answer arrives in one burst, so nothing sent after its start could stop a further
/// call.
#[tokio::test(flavor = "multi_thread")]
async fn answer_in_one_burst_causes_no_second_call() {
    assert_one_call_each(
        TestServer::real().await,
        &[&ENDINGS[..], &SILENT].concat(),
        15,
        "",
    )
    .await;
}

/// Without `--bare`, the same holds for an answer with text to a request of typical size.
#[tokio::test(flavor = "multi_thread")]
async fn subscription_burst_after_1024_prompt_tokens_causes_no_second_call() {
    assert_one_call_each(subscription_server().await, &ENDINGS, 5, "usage_in=1024").await;
}

/// Without `--bare`, any other request is safe once its call is upstream, before a model can
/// answer.
#[tokio::test(flavor = "multi_thread")]
async fn subscription_answer_causes_no_second_call() {
    assert_one_call_each(
        subscription_server().await,
        &[&ENDINGS[..], &SILENT].concat(),
        3,
        "headers_ms=300",
    )
    .await;
}

/// A failed call is retried, but not after part of its answer was sent to the client.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_answer_is_not_retried_after_its_first_token() {
    for server in [TestServer::real().await, subscription_server().await] {
        let server = server
            .workers(1)
            .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 1)
            .start()
            .await;
        let mut events = server
            .chat("[[tokens=9 gap_ms=200 cut_after=3]]")
            .stream()
            .await;
        events.next_text().await;
        let rest = events.rest().await;
        assert!(rest.last().unwrap().contains("upstream_error"), "{rest:?}");
        server.wait_until_idle().await;
        assert_eq!(server.upstream().requests().len(), 1);
        assert_eq!(
            server
                .chat("[[status=500 times=1 tokens=1]]")
                .send()
                .await
                .text(),
            "w1"
        );
        assert_eq!(server.upstream().requests().len(), 3);
        server.end().await;
    }
}
