//! A request is one call upstream, however its answer ends: the CLI by itself would go on after some of them, at a price.

use serde_json::json;

use crate::support::{Chat, TestServer};

/// Endings after which the CLI would call again, with what the client is told.
const ENDINGS: [(&str, &str); 6] = [
    ("[[tokens=50]]", "w1 w2 w3| length"),
    ("[[thinking=\"a b\" tokens=50]]", "w1| length"),
    ("[[tokens=2 stop_reason=refusal]]", "w1 w2| content_filter"),
    ("[[tool=look input={\"a\":1}]]", "| tool_calls"),
    ("[[say=\"\"]]", "| stop"),
    ("[[thinking=\"a b\" say=\"\"]]", "| stop"),
];

fn chat<'a>(server: &'a TestServer, prompt: &str) -> Chat<'a> {
    let tool = json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}});
    server.chat(prompt).with("max_tokens", 3).with("tools", json!([tool]))
}

/// The whole answer comes at once, so nothing that is sent after it has begun could keep the CLI from a further call.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_an_answer_that_comes_in_one_burst() {
    let server = TestServer::real().await.workers(2).start().await;
    let mut count = 0;
    for _ in 0..20 {
        for (prompt, told) in ENDINGS {
            let (one, two) = tokio::join!(chat(&server, prompt).told(), chat(&server, prompt).told());
            assert_eq!((one.as_str(), two.as_str()), (told, told));
            count += 2;
        }
    }
    server.until_quiet().await;
    assert_eq!(server.upstream().requests().len(), count);
    server.end().await;
}

/// Under a sign-in without `--bare` a limited turn is safe as soon as its call is under way: sooner than any model answers.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_follows_a_limited_answer_under_a_subscription() {
    let server = TestServer::real().await.workers(1).set("ANTHROPIC_API_KEY", "");
    let server = server.set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up").start().await;
    for model in ["haiku", "opus", "haiku"] {
        let limited = server.chat("[[tokens=50 headers_ms=200]]").with("max_tokens", 1).with("model", model);
        assert_eq!(limited.told().await, "w1| length");
    }
    server.until_quiet().await;
    assert_eq!(server.upstream().requests().len(), 3);
    server.end().await;
}
