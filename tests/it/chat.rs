//! Chat completions with the real CLI, and the upstream calls they make.

use serde_json::{Value, json};

use crate::support::TestServer;

fn last_upstream_body(server: &TestServer) -> Value {
    (*server.upstream().requests().last().unwrap().body).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_answers_whole_or_streamed_with_usage() {
    let server = TestServer::real().await.start().await;
    let prompt = "[[tokens=3 usage_in=10 usage_cache_read=4 usage_cache_write=3]]";
    let answer = server.chat(prompt).send().await;
    assert_eq!(answer.text(), "w1 w2 w3");
    assert_eq!(answer.headers["x-switchboard-model"], "claude-haiku-5-5");
    let usage = json!({
        "prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0
        },
        // Cost reported by the CLI: 10 tokens at $0.10 a million, 3 at 0.50, 3 at 0.125 and 4 at
        // 0.01.
        "cost_usd": 2.915e-6,
    });
    assert_eq!(answer.body["usage"], usage);
    let events = server
        .chat(prompt)
        .with("stream_options", json!({"include_usage": true}))
        .stream()
        .await;
    assert_eq!(
        events.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let events = events.rest().await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(
        deltas,
        [Some(""), Some("w1"), Some(" w2"), Some(" w3"), None, None]
    );
    assert_eq!(chunks[5]["usage"], answer.body["usage"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_tokens_are_sent_without_delay() {
    let server = TestServer::real().await.start().await;
    let mut events = server.chat("[[tokens=50 stall_after=2]]").stream().await;
    assert_eq!(events.next_text().await, "w1");
    assert_eq!(
        events.next_text().await,
        " w2",
        "a token is sent before the next one arrives"
    );
    drop(events);
    server.wait_until_idle().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_parameters_are_sent_upstream() {
    let server = TestServer::real().await.start().await;
    let chat = server.chat("and now? [[tokens=2]]").after(&[
        ("system", "be brief"),
        ("user", "one"),
        ("assistant", "two"),
        ("developer", "in French"),
        ("user", "three"),
        ("assistant", "four"),
    ]);
    let chat = chat
        .with("temperature", 0.5)
        .with("stop", json!(["END"]))
        .with("user", "u");
    let chat = chat.with("model", "claude-haiku-4-5");
    let answer = chat.with("metadata", json!({"a": "b"})).send().await;
    assert_eq!(answer.text(), "w1 w2");
    assert!(
        !answer.headers.contains_key("x-switchboard-ignored"),
        "{:?}",
        answer.headers
    );
    let body = last_upstream_body(&server);
    let identity = "You are a Claude agent, built on Anthropic's Claude Agent SDK.";
    let system = json!([
        {"type": "text", "text": identity},
        {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}},
    ]);
    assert_eq!(body["system"], system);
    let turns = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] != "system");
    let turns: Vec<_> = turns
        .map(|turn| {
            format!(
                "{}: {}",
                turn["role"].as_str().unwrap(),
                turn["content"][0]["text"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        turns,
        [
            "user: one",
            "assistant: two",
            "user: <system>\nFrom the application, not from the user:\nin French\n</system>",
            "user: three",
            "assistant: four",
            "user: and now? [[tokens=2]]"
        ]
    );
    assert_eq!(body["temperature"], 0.5);
    assert_eq!(
        (&body["stop_sequences"], &body["thinking"]),
        (&json!(["END"]), &Value::Null)
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_sequence_ends_the_answer_before_it() {
    let server = TestServer::real().await.start().await;
    let answer = server.chat("[[tokens=9]]").with("stop", " w4").send().await;
    assert_eq!(answer.text(), "w1 w2 w3");
    assert_eq!(answer.body["choices"][0]["finish_reason"], "stop");
    server.end().await;
}

/// Anthropic refuses a stop sequence of white space, so the server interrupts the worker, which
/// serves the next turn.
#[tokio::test(flavor = "multi_thread")]
async fn stop_sequence_of_white_space_ends_the_answer() {
    let server = TestServer::real().await.workers(1).start().await;
    let stops = json!(["\n", " ", "END", "a", "b"]);
    for _ in 0..2 {
        let prompt = "[[tokens=2000 gap_ms=20]]";
        let answer = server.chat(prompt).with("stop", stops.clone()).send().await;
        assert_eq!(
            (answer.text(), &answer.body["choices"][0]["finish_reason"]),
            ("w1", &json!("stop"))
        );
        let tokens = answer.body["usage"]["completion_tokens"].as_u64().unwrap();
        assert!(
            (1..5).contains(&tokens),
            "tokens received before the interrupt: {tokens}"
        );
    }
    assert_eq!(
        server.upstream().requests().len(),
        2,
        "the CLI makes no further call"
    );
    let body = server.upstream().requests()[0].body.clone();
    assert_eq!(body["stop_sequences"], json!(["END", "a", "b"]));
    server.end().await;
}

/// The CLI itself would ask the model to continue after the limit, up to three times, each billed.
#[tokio::test(flavor = "multi_thread")]
async fn max_tokens_ends_the_answer_without_a_further_call() {
    let server = TestServer::real().await.workers(1).start().await;
    for round in 1..=20 {
        let field = if round % 2 == 0 {
            "max_tokens"
        } else {
            "max_completion_tokens"
        };
        // Fifty tokens a second, as from a real model.
        let answer = server
            .chat("[[tokens=50 gap_ms=20]]")
            .with(field, 8)
            .send()
            .await;
        assert_eq!(answer.text(), "w1 w2 w3 w4 w5 w6 w7 w8");
        assert_eq!(answer.body["choices"][0]["finish_reason"], "length");
        assert_eq!(answer.body["usage"]["completion_tokens"], 8);
        server.wait_until_idle().await;
        assert_eq!(server.upstream().requests().len(), round);
    }
    let answer = server.chat("[[tokens=5]]").send().await;
    assert_eq!(
        answer.text(),
        "w1 w2 w3 w4 w5",
        "the limit applies to its own turn only"
    );
    assert_eq!(last_upstream_body(&server)["max_tokens"], 128_000);
    server.end().await;
}

/// The control request `set_model` would make an upstream call of its own to check an id.
#[tokio::test(flavor = "multi_thread")]
async fn model_selection_makes_no_upstream_call() {
    let server = TestServer::real().await.workers(1).start().await;
    let names = [
        "haiku",
        "sonnet",
        "opus",
        "claude-haiku-5-5",
        "gpt-4o",
        "gpt-4o-mini",
    ];
    for name in names {
        let answer = server.chat("[[tokens=1]]").with("model", name).send().await;
        assert_eq!(answer.body["model"], name);
        assert_eq!(
            answer.headers["x-switchboard-model"].to_str().unwrap(),
            last_upstream_body(&server)["model"]
        );
    }
    assert_eq!(server.upstream().requests().len(), names.len());
    let answer = server.chat("hi").with("model", "gemini-9").send().await;
    assert_eq!(answer.error(), "404 invalid_request_error model_not_found");
    assert_eq!(server.upstream().requests().len(), names.len());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_share_four_workers() {
    let server = TestServer::real().await.workers(4).start().await;
    let prompts: Vec<_> = (0..40)
        .map(|number| format!("[[say=\"nonce-{number}\"]]"))
        .collect();
    for round in prompts.chunks(8) {
        let answers = round.iter().map(|prompt| server.chat(prompt).send());
        for (answer, prompt) in futures::future::join_all(answers).await.iter().zip(round) {
            assert_eq!(format!("[[say=\"{}\"]]", answer.text()), *prompt);
        }
    }
    assert!(server.workers().len() <= 4);
    server.end().await;
}
