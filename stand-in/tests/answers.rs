//! Answers to each kind of directive.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::json;
use support::{Api, deltas, events, kinds, request};

/// Tool with an unconstrained schema.
fn tool(name: &str) -> serde_json::Value {
    json!({"name": name, "input_schema": {"type": "object"}})
}

#[tokio::test]
async fn stream_has_the_events_of_the_real_api_in_order() {
    let api = Api::start().await;
    let prompt = "Hi [[tokens=3 usage_in=7 usage_cache_read=5 usage_cache_write=2]]";
    let response = api.send(&request(prompt, json!({"stream": true}))).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let events = events(&response.text().await.unwrap());
    let delta = "content_block_delta";
    let open = ["message_start", "content_block_start", "ping"];
    let close = ["message_delta", "message_stop"];
    assert_eq!(
        kinds(&events),
        [
            &open[..],
            &[delta, delta, delta, "content_block_stop"],
            &close
        ]
        .concat()
    );
    assert_eq!(deltas(&events, "text"), ["w1", " w2", " w3"]);
    let opening = &events[0]["message"];
    assert_eq!(
        (&opening["model"], &opening["stop_reason"]),
        (&json!("claude-test"), &json!(null))
    );
    assert_eq!(opening["usage"]["input_tokens"], 7);
    assert_eq!(
        events[7]["delta"],
        json!({"stop_reason": "end_turn", "stop_sequence": null})
    );
    let usage = json!({"input_tokens": 7, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 5, "output_tokens": 3});
    assert_eq!(events[7]["usage"], usage);
}

#[tokio::test]
async fn each_token_is_sent_as_its_own_chunk() {
    let api = Api::start().await;
    let mut response = api
        .send(&request("[[tokens=20]]", json!({"stream": true})))
        .await;
    let mut chunks = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        assert!(text.ends_with("\n\n"), "a chunk holds whole events");
        chunks += usize::from(text.contains("text_delta"));
    }
    // A read may return several chunks at once, but not all of them.
    assert!(chunks > 1, "{chunks} chunks");
}

#[tokio::test]
async fn thinking_text_and_parallel_tools_are_equal_whole_and_streamed() {
    let api = Api::start().await;
    let prompt = r#"[[thinking="Let me see." say="Looking  up" tool=search input={"q":"[[x]] and more"} tool=noop]]"#;
    let tools = json!([{"name": "mcp__c__search", "input_schema": {}}]);
    let whole: serde_json::Value = api
        .send(&request(prompt, json!({"tools": tools})))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(whole["stop_reason"], "tool_use");
    let blocks = whole["content"].as_array().unwrap();
    assert_eq!(
        (&blocks[0]["thinking"], &blocks[1]["text"]),
        (&json!("Let me see."), &json!("Looking  up"))
    );
    assert_eq!(
        (&blocks[2]["name"], &blocks[2]["input"]),
        (&json!("mcp__c__search"), &json!({"q": "[[x]] and more"}))
    );
    assert_eq!(
        (&blocks[3]["name"], &blocks[3]["input"]),
        (&json!("noop"), &json!({}))
    );
    assert_ne!(blocks[2]["id"], blocks[3]["id"]);

    let events = api.stream(prompt).await;
    assert_eq!(deltas(&events, "thinking").concat(), "Let me see.");
    assert_eq!(deltas(&events, "signature").len(), 1);
    assert_eq!(deltas(&events, "text"), ["Looking", "  up"]);
    let pieces = deltas(&events, "partial_json");
    assert!(pieces.len() > 4, "{pieces:?}");
    assert_eq!(
        pieces.concat(),
        r#"{"q":"[[x]] and more"}"#,
        "an empty input has no piece"
    );
}

#[tokio::test]
async fn prompt_without_directives_gets_demo_text_or_tool_results() {
    let api = Api::start().await;
    let text = api.answer_to(&"é".repeat(300)).await["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.contains("offline stand-in") && text.ends_with(&format!("\"{}...\"", "é".repeat(200))),
        "{text}"
    );

    let mut body = request(
        "[[tool=a]]",
        json!({"tools": [tool("a")], "tool_choice": {"type": "any"}}),
    );
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "a", "input": {}});
    let results = json!([
        {"type": "tool_result", "tool_use_id": "1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "12 °C"}]},
        {"type": "text", "text": "<system-reminder>[[tokens=9]]</system-reminder>"}]);
    let more = [
        json!({"role": "assistant", "content": [call("1"), call("2")]}),
        json!({"role": "user", "content": results}),
    ];
    body["messages"].as_array_mut().unwrap().extend(more);
    let answer: serde_json::Value = api.send(&body).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], "Tool results: sunny; 12 °C");

    body["messages"][2]["content"][0]["content"] = json!("[[say=\"by a result\"]]");
    let answer: serde_json::Value = api.send(&body).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], "by a result");
}

#[tokio::test]
async fn echo_directives_return_the_text_or_the_request() {
    let api = Api::start().await;
    assert_eq!(
        api.answer_to("a  b\n[[echo]]").await["content"][0]["text"],
        "a  b\n[[echo]]"
    );
    let body = request("[[echo_request]]", json!({"temperature": 0.5}));
    let answer: serde_json::Value = api.send(&body).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], body.to_string());
}

#[tokio::test]
async fn max_tokens_and_stop_sequences_are_respected() {
    let api = Api::start().await;
    for (more, text, reason, sequence) in [
        (
            json!({"max_tokens": 2}),
            "one two",
            "max_tokens",
            json!(null),
        ),
        (
            json!({"stop_sequences": ["o th"]}),
            "one tw",
            "stop_sequence",
            json!("o th"),
        ),
    ] {
        let body = request("[[say=\"one two three\"]]", more);
        let answer: serde_json::Value = api.send(&body).await.json().await.unwrap();
        let got = (
            &answer["content"][0]["text"],
            &answer["stop_reason"],
            &answer["stop_sequence"],
        );
        assert_eq!(got, (&json!(text), &json!(reason), &sequence));
        assert_eq!(answer["usage"]["output_tokens"], 2);
    }
    assert_eq!(
        api.answer_to("[[say=\"\" stop_reason=refusal]]").await["stop_reason"],
        "refusal"
    );
}

#[tokio::test]
async fn forced_tools_and_schemas_need_no_directive() {
    let api = Api::start().await;
    let tools = json!([tool("a"), tool("b")]);
    for (choice, name) in [
        (json!({"type": "any"}), "a"),
        (json!({"type": "tool", "name": "b"}), "b"),
    ] {
        let body = request("Hi", json!({"tools": tools, "tool_choice": choice}));
        let answer: serde_json::Value = api.send(&body).await.json().await.unwrap();
        let calls = answer["content"].as_array().unwrap();
        assert_eq!(
            (calls.len(), &calls[0]["name"], &calls[0]["input"]),
            (1, &json!(name), &json!({}))
        );
    }
    let n = json!({"n": {"type": "integer"}});
    let schema = json!({"type": "object", "required": ["n"], "properties": n, "additionalProperties": false});
    let format = json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}});
    let answer: serde_json::Value = api.send(&request("Hi", format)).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], r#"{"n":0}"#);
}

#[tokio::test]
async fn tokens_are_counted_and_the_root_is_answered() {
    let api = Api::start().await;
    let body = request("12345678", json!({}));
    let count: serde_json::Value = api
        .post("/v1/messages/count_tokens", &body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(count, json!({"input_tokens": 3}));
    for method in [reqwest::Method::HEAD, reqwest::Method::GET] {
        let response = api
            .client
            .request(method, api.stand_in.base_url())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
}
