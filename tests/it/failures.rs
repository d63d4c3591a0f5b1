//! Upstream failures of the real CLI and the errors that clients get for them, as documented in
//! docs/API.md, "Errors".

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{Builder, TestServer};

/// Sends each prompt, whole and streamed. Returns a line `status type code | Retry-After | message`
/// for each, and the stream if it ends differently.
async fn table(server: Builder, prompts: &[&str]) -> String {
    let server = server
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BREAKER_FAILURES", 0)
        .start()
        .await;
    let mut table = String::new();
    for prompt in prompts {
        let answer = server.chat(prompt).send().await;
        let wait = answer
            .headers
            .get("retry-after")
            .map_or("-", |wait| wait.to_str().unwrap());
        let message = answer.body["error"]["message"].as_str().unwrap();
        writeln!(table, "{prompt} {} | {wait} | {message}", answer.error()).unwrap();
        let streamed = server.chat(prompt).streamed_outcome().await;
        if streamed != answer.error() {
            writeln!(table, "    {streamed}").unwrap();
        }
    }
    server.end().await;
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_upstream_calls_map_to_client_errors() {
    let mut prompts: Vec<String> = [
        400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504, 529,
    ]
    .map(|status| format!("[[status={status} message=reason]]"))
    .into();
    prompts.push(
        r#"[[status=400 message="prompt is too long: 200001 tokens > 200000 maximum"]]"#.to_owned(),
    );
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(TestServer::real().await, &prompts).await, @r#"
[[status=400 message=reason]] 400 invalid_request_error - | - | Anthropic refused the request: reason
[[status=401 message=reason]] 401 authentication_error sign_in_failed | - | Anthropic did not accept the sign-in of this server. Its operator must renew it.
[[status=402 message=reason]] 401 authentication_error sign_in_failed | - | Anthropic did not accept the sign-in of this server. Its operator must renew it.
[[status=403 message=reason]] 401 authentication_error sign_in_failed | - | Anthropic did not accept the sign-in of this server. Its operator must renew it.
[[status=404 message=reason]] 404 invalid_request_error model_not_found | - | The model does not exist, or the sign-in of this server may not use it.
[[status=413 message=reason]] 400 invalid_request_error - | - | The request is larger than Anthropic takes. Send less, or fewer and smaller files.
[[status=422 message=reason]] 400 invalid_request_error - | - | Anthropic refused the request: reason
[[status=429 message=reason]] 429 rate_limit_error rate_limit_exceeded | 5 | Anthropic's limit for the sign-in of this server is reached. Try again later.
[[status=500 message=reason]] 502 server_error upstream_error | - | The call to Anthropic failed with status 500.
[[status=502 message=reason]] 502 server_error upstream_error | - | The call to Anthropic failed with status 502.
[[status=503 message=reason]] 503 server_error overloaded | 2 | Anthropic is overloaded. Try again later.
[[status=504 message=reason]] 502 server_error upstream_error | - | The call to Anthropic failed with status 504.
[[status=529 message=reason]] 503 server_error overloaded | 2 | Anthropic is overloaded. Try again later.
[[status=400 message="prompt is too long: 200001 tokens > 200000 maximum"]] 400 invalid_request_error context_length_exceeded | - | This model's maximum context length is shorter than the messages. Please reduce the length of the messages.
"#);
}

/// The CLI itself would wait, and block its worker.
#[tokio::test(flavor = "multi_thread")]
async fn long_retry_after_is_passed_on_to_the_client() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 1)
        .start()
        .await;
    let worker = server.only_worker().await;
    let limited = "429 rate_limit_error rate_limit_exceeded";
    for (status, seconds, error) in [
        (429, 40, limited),
        (429, 3600, limited),
        (529, 40, "503 server_error overloaded"),
        (529, 3600, "503 server_error overloaded"),
    ] {
        let answer = server
            .chat(&format!("[[status={status} retry_after={seconds}]]"))
            .send()
            .await;
        assert_eq!(answer.error(), error);
        let wait: u64 = answer.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        // The CLI adds up to a quarter.
        assert!((seconds..=seconds * 5 / 4 + 1).contains(&wait), "{wait}");
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    }
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_stream_error_is_reported_as_overloaded() {
    let prompts = [
        "[[tokens=3 error_after=0]]",
        "[[tokens=3 gap_ms=5 error_after=2]]",
    ];
    insta::assert_snapshot!(table(TestServer::real().await, &prompts).await, @r#"
    [[tokens=3 error_after=0]] 503 server_error overloaded | 2 | Anthropic is overloaded. Try again later.
        | server_error overloaded
    [[tokens=3 gap_ms=5 error_after=2]] 503 server_error overloaded | 2 | Anthropic is overloaded. Try again later.
        w1 w2| server_error overloaded
    "#);
}

/// The amount received before the cut varies: a connection reset discards unread data.
#[tokio::test(flavor = "multi_thread")]
async fn cut_upstream_connection_is_an_upstream_error() {
    let server = TestServer::real().await.workers(1).start().await;
    for prompt in [
        "[[tokens=3 cut_after=0]]",
        "[[tokens=3 gap_ms=5 cut_after=2]]",
    ] {
        assert_eq!(
            server.chat(prompt).send().await.error(),
            "502 server_error upstream_error"
        );
        let streamed = server.chat(prompt).streamed_outcome().await;
        assert!(
            streamed.ends_with("server_error upstream_error"),
            "{streamed}"
        );
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_upstream_call_times_out() {
    let server = TestServer::real()
        .await
        .set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 3);
    let prompts = ["[[tokens=3 stall_after=2]]", "[[headers_ms=60000]]"];
    insta::assert_snapshot!(table(server, &prompts).await, @r#"
    [[tokens=3 stall_after=2]] 504 server_error timeout | - | Nothing came from the model for 3 seconds.
        w1 w2| server_error timeout
    [[headers_ms=60000]] 504 server_error timeout | - | Nothing came from the model for 3 seconds.
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_upstream_is_an_upstream_error() {
    // No process listens on the discard port.
    let server = TestServer::real()
        .await
        .set("ANTHROPIC_BASE_URL", "http://127.0.0.1:9");
    insta::assert_snapshot!(table(server, &["hello"]).await, @r#"
hello 502 server_error upstream_error | - | The call to Anthropic failed.
"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_stream_failure_ends_with_an_error_and_keeps_the_worker() {
    let server = TestServer::real().await.workers(1).start().await;
    let worker = server.only_worker().await;
    for fault in ["cut_after=2", "error_after=2"] {
        let events = server
            .chat(&format!("[[tokens=9 gap_ms=100 {fault}]]"))
            .stream()
            .await
            .rest()
            .await;
        let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "{fault}: {events:?}");
        assert!(!events.contains(&"[DONE]".to_owned()));
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    }
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_tool_arguments_that_break_the_schema_are_an_error() {
    let server = TestServer::real().await.workers(1).start().await;
    let worker = server.only_worker().await;
    let schema = json!({
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
        "additionalProperties": false,
    });
    let ask = |input: &str, strict: bool| {
        let function = json!({"name": "count", "parameters": schema, "strict": strict});
        let chat = server.chat(&format!("[[tool=count input={input}]]"));
        chat.with("tools", json!([{"type": "function", "function": function}]))
    };
    let refused = ask(r#"{"n":"one"}"#, true).send().await;
    assert_eq!(refused.error(), "502 server_error upstream_error");
    let message = refused.body["error"]["message"].as_str().unwrap();
    insta::assert_snapshot!(message, @"Claude called the strict tool `count` with arguments that do not keep to its schema: `/properties/n/type` is not met. Try again.");
    assert_eq!(
        ask(r#"{"n":"one"}"#, true).streamed_outcome().await,
        "| server_error upstream_error"
    );
    assert_eq!(
        ask(r#"{"n":1}"#, true).streamed_outcome().await,
        "| tool_calls"
    );
    assert_eq!(
        ask(r#"{"n":"one"}"#, false).streamed_outcome().await,
        "| tool_calls"
    );
    server.wait_until_idle().await;
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}
