//! A request is one call upstream, however its answer ends: the CLI by itself would go on after some of them, at a price.

use serde_json::{Value, json};

use crate::support::{Builder, Chat, TestServer};

/// An ending of an answer: its prompt, its limit of tokens, and what the client is told.
type Ending = (&'static str, Option<u32>, &'static str);

/// Endings after which the CLI would call again, and calls of tools.
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

/// Answers without a word, after which the CLI would ask for one.
const SILENT: [Ending; 2] = [
    ("[[say=\"\"]]", None, "| stop"),
    ("[[thinking=\"a b\" say=\"\"]]", None, "| stop"),
];

/// The chat request that ends so, with further directives in its prompt.
fn chat<'a>(server: &'a TestServer, (prompt, limit, _): Ending, directives: &str) -> Chat<'a> {
    let tool =
        json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}});
    let chat = server
        .chat(&prompt.replace("]]", &format!(" {directives}]]")))
        .with("tools", json!([tool]));
    chat.with("max_tokens", limit.map_or(Value::Null, Value::from))
}

/// Has each ending come `rounds` times to each of two clients, and counts the calls.
async fn assert_one_call_each(
    server: Builder,
    endings: &[Ending],
    rounds: usize,
    directives: &str,
) {
    let server = server.workers(2).start().await;
    for _ in 0..rounds {
        for ending in endings {
            let ask = || chat(&server, *ending, directives).told();
            let (one, two) = tokio::join!(ask(), ask());
            assert_eq!(
                (one.as_str(), two.as_str()),
                (ending.2, ending.2),
                "{}",
                ending.0
            );
        }
    }
    server.until_quiet().await;
    assert_eq!(
        server.upstream().requests().len(),
        2 * rounds * endings.len()
    );
    server.end().await;
}

/// A server whose sign-in allows no `--bare`.
async fn subscribed() -> Builder {
    let server = TestServer::real().await.set("ANTHROPIC_API_KEY", "");
    server.set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up")
}

/// The whole answer comes at once, so nothing that is sent after it has begun could keep the CLI from a further call.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_an_answer_that_comes_in_one_burst() {
    assert_one_call_each(
        TestServer::real().await,
        &[&ENDINGS[..], &SILENT].concat(),
        15,
        "",
    )
    .await;
}

/// Without `--bare` an answer with words to a request of a usual size is safe in the same way.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_a_burst_after_a_request_of_a_thousand_tokens_under_a_subscription() {
    assert_one_call_each(subscribed().await, &ENDINGS, 5, "usage_in=1024").await;
}

/// Without `--bare` any other request is safe as soon as its call is under way: sooner than any model answers.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_an_answer_under_a_subscription() {
    assert_one_call_each(
        subscribed().await,
        &[&ENDINGS[..], &SILENT].concat(),
        3,
        "headers_ms=300",
    )
    .await;
}

/// A call that fails is tried again, but not once a part of its answer has left.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_an_answer_that_is_cut_off() {
    for server in [TestServer::real().await, subscribed().await] {
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
        server.until_quiet().await;
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
