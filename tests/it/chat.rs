//! Chat with the real CLI, and what of it goes upstream.

use serde_json::{Value, json};

use crate::support::TestServer;

fn last_upstream(server: &TestServer) -> Value {
    (*server.upstream().requests().last().unwrap().body).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_whole_or_token_by_token() {
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
        // What the CLI reports: 10 tokens at $0.10 a million, 3 at 0.50, 3 at 0.125 and 4 at 0.01.
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
async fn tokens_leave_as_they_come() {
    let server = TestServer::real().await.start().await;
    let mut events = server.chat("[[tokens=50 stall_after=2]]").stream().await;
    assert_eq!(events.next_text().await, "w1");
    assert_eq!(
        events.next_text().await,
        " w2",
        "what has come is not held back for what is still to come"
    );
    drop(events);
    server.until_quiet().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_parameters_go_upstream_as_they_are() {
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
    let body = last_upstream(&server);
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
async fn a_stop_text_ends_the_answer_before_it() {
    let server = TestServer::real().await.start().await;
    let answer = server.chat("[[tokens=9]]").with("stop", " w4").send().await;
    assert_eq!(answer.text(), "w1 w2 w3");
    assert_eq!(answer.body["choices"][0]["finish_reason"], "stop");
    server.end().await;
}

/// Anthropic refuses such a stop text. The worker is interrupted, and serves the next turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_text_of_white_space_ends_the_answer_too() {
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
            "about what came up to the interrupt: {tokens}"
        );
    }
    assert_eq!(
        server.upstream().requests().len(),
        2,
        "no call of the CLI's own follows"
    );
    let body = server.upstream().requests()[0].body.clone();
    assert_eq!(body["stop_sequences"], json!(["END", "a", "b"]));
    server.end().await;
}

/// The CLI asks the model to go on when it meets its limit, up to three times, and each is billed.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_the_answer_without_a_further_call() {
    let server = TestServer::real().await.workers(1).start().await;
    for round in 1..=20 {
        let field = if round % 2 == 0 {
            "max_tokens"
        } else {
            "max_completion_tokens"
        };
        // Fifty tokens a second: the pace of a model.
        let answer = server
            .chat("[[tokens=50 gap_ms=20]]")
            .with(field, 8)
            .send()
            .await;
        assert_eq!(answer.text(), "w1 w2 w3 w4 w5 w6 w7 w8");
        assert_eq!(answer.body["choices"][0]["finish_reason"], "length");
        assert_eq!(answer.body["usage"]["completion_tokens"], 8);
        server.until_quiet().await;
        assert_eq!(server.upstream().requests().len(), round);
    }
    let answer = server.chat("[[tokens=5]]").send().await;
    assert_eq!(
        answer.text(),
        "w1 w2 w3 w4 w5",
        "the limit is gone with its turn"
    );
    assert_eq!(last_upstream(&server)["max_tokens"], 128_000);
    server.end().await;
}

/// `set_model` would make a call of its own to try an id.
#[tokio::test(flavor = "multi_thread")]
async fn choosing_a_model_makes_no_call() {
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
            last_upstream(&server)["model"]
        );
    }
    assert_eq!(server.upstream().requests().len(), names.len());
    let answer = server.chat("hi").with("model", "gemini-9").send().await;
    assert_eq!(answer.error(), "404 invalid_request_error model_not_found");
    assert_eq!(server.upstream().requests().len(), names.len());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_callers_share_four_workers() {
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
