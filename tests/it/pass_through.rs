//! Pass-through of fields and blocks of Anthropic's API, unchanged in both directions.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::TestServer;

/// Posts `body` to `/v1/messages` as Anthropic's SDKs do.
async fn post(server: &TestServer, body: &Value) -> (u16, Value) {
    let response = server
        .http
        .post(server.url("/v1/messages"))
        .json(body)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Server-sent events of a streamed message.
async fn events(server: &TestServer, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = json!(true);
    let response = server
        .http
        .post(server.url("/v1/messages"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let events = eventsource_stream::Eventsource::eventsource(response.bytes_stream());
    events
        .map(|event| serde_json::from_str(&event.unwrap().data).unwrap())
        .collect()
        .await
}

/// Content blocks that an SDK assembles from the events of a stream.
fn assemble_blocks(events: &[Value]) -> Vec<Value> {
    let mut blocks = Vec::new();
    let mut inputs = Vec::new();
    for event in events {
        let delta = &event["delta"];
        match (
            event["type"].as_str().unwrap(),
            delta["type"].as_str().unwrap_or_default(),
        ) {
            ("content_block_start", _) => {
                blocks.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            ("content_block_delta", "text_delta") => {
                let block = blocks.last_mut().unwrap();
                let text =
                    block["text"].as_str().unwrap().to_owned() + delta["text"].as_str().unwrap();
                block["text"] = json!(text);
            }
            ("content_block_delta", "input_json_delta") => {
                inputs
                    .last_mut()
                    .unwrap()
                    .push_str(delta["partial_json"].as_str().unwrap());
            }
            ("content_block_delta", "citations_delta") => {
                let block = blocks.last_mut().unwrap();
                if block["citations"].is_null() {
                    block["citations"] = json!([]);
                }
                block["citations"]
                    .as_array_mut()
                    .unwrap()
                    .push(delta["citation"].clone());
            }
            _ => {}
        }
    }
    for (block, input) in blocks
        .iter_mut()
        .zip(inputs)
        .filter(|(_, input)| !input.is_empty())
    {
        block["input"] = serde_json::from_str(&input).unwrap();
    }
    blocks
}

/// Request with fields and blocks that the server does not interpret, and an invented field.
fn request(prompt: &str) -> Value {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    json!({
        "model": "haiku", "max_tokens": 4096,
        "system": [{"type": "text", "text": "be brief", "cache_control": mark}],
        "tools": [
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2, "allowed_domains": ["a.example"]},
            {"type": "code_execution_20250825", "name": "code_execution"},
            {"name": "look", "input_schema": {"type": "object"}, "defer_loading": true, "input_examples": [{"z": 1, "a": 2}]},
        ],
        "container": "container_1", "mcp_servers": [{"type": "url", "url": "https://m.example", "name": "m"}],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}, "service_tier": "standard_only",
        "from_the_future": {"z": [1.5, null], "a": "b"},
        "messages": [
            {"role": "user", "content": [
                {"type": "search_result", "source": "https://s.example", "title": "S", "content": [{"type": "text", "text": "s"}]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"},
                 "citations": {"enabled": true}, "context": "c"},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "d", "document_index": 0,
                 "start_char_index": 0, "end_char_index": 1}]},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"b": 1, "a": 2}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "tool_reference", "tool_name": "look"}]},
                {"type": "text", "text": format!("[[lenient]] {prompt}"), "cache_control": mark},
            ]},
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_request_fields_and_blocks_reach_upstream_unchanged() {
    let server = TestServer::real().await.workers(1).start().await;
    let request = request("[[say=\"ok\"]]");
    let (status, answer) = post(&server, &request).await;
    assert_eq!(status, 200, "{answer}");
    let sent = Value::clone(&server.upstream().requests().last().unwrap().body);
    for field in [
        "tools",
        "messages",
        "container",
        "mcp_servers",
        "context_management",
        "service_tier",
        "from_the_future",
    ] {
        assert_eq!(sent[field], request[field], "{field}");
    }
    assert_eq!(
        sent["system"].as_array().unwrap()[1..],
        request["system"].as_array().unwrap()[..]
    );
    assert_eq!(server.upstream().requests().len(), 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_response_blocks_reach_the_client_unchanged() {
    let server = TestServer::real().await.workers(1).start().await;
    let future = r#"{"type":"from_the_future","content":[{"z":1}]}"#;
    let delta =
        r#"{"type":"citations_delta","citation":{"type":"char_location","cited_text":"d"}}"#;
    let request = request(&format!(
        "[[search=\"rust news\" say=\"It is out.\" delta={delta} block={future}]]"
    ));
    let (status, whole) = post(&server, &request).await;
    assert_eq!(status, 200, "{whole}");
    let kinds = |blocks: &[Value]| {
        blocks
            .iter()
            .map(|block| block["type"].clone())
            .collect::<Vec<_>>()
    };
    let blocks = whole["content"].as_array().unwrap();
    assert_eq!(
        kinds(blocks),
        [
            "server_tool_use",
            "web_search_tool_result",
            "text",
            "from_the_future"
        ]
    );
    assert_eq!(blocks[0]["input"], json!({"query": "rust news"}));
    assert_eq!(
        blocks[1]["content"][0]["url"],
        "https://example.com/rust-news"
    );
    assert_eq!(
        (
            blocks[2]["text"].as_str(),
            blocks[2]["citations"].as_array().unwrap().len()
        ),
        (Some("It is out."), 2)
    );
    assert_eq!(blocks[3], serde_json::from_str::<Value>(future).unwrap());
    assert_eq!(
        whole["usage"]["server_tool_use"],
        json!({"web_search_requests": 1})
    );
    assert_eq!(whole["usage"]["service_tier"], "standard");

    let events = events(&server, &request).await;
    let ids = |blocks: &[Value]| {
        let mut text = json!(blocks).to_string();
        for block in blocks {
            text = text.replace(block["id"].as_str().unwrap_or("-"), "id");
        }
        text
    };
    assert_eq!(
        ids(&assemble_blocks(&events)),
        ids(blocks),
        "streamed and whole answers have the same blocks"
    );

    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_turn_continues_after_its_content_is_sent_back() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut request = request("[[search=\"rust news\" say=\"So far.\" stop_reason=pause_turn]]");
    // Without a user message at the end there is no `lenient` directive, so unknown fields are
    // rejected.
    request.as_object_mut().unwrap().remove("from_the_future");
    let (_, paused) = post(&server, &request).await;
    assert_eq!(paused["stop_reason"], "pause_turn");
    let so_far = json!({"role": "assistant", "content": paused["content"]});
    request["messages"].as_array_mut().unwrap().push(so_far);
    let (status, answer) = post(&server, &request).await;
    assert_eq!(
        (status, &answer["stop_reason"]),
        (200, &json!("end_turn")),
        "{answer}"
    );
    let requests = server.upstream().requests();
    assert_eq!(
        requests.last().unwrap().body["messages"],
        request["messages"]
    );
    assert_eq!(requests.len(), 2);
    server.end().await;
}

/// A web search is charged in addition to its tokens, at the price that the CLI reports.
#[tokio::test(flavor = "multi_thread")]
async fn web_search_is_charged_per_search() {
    let server = TestServer::real().await.workers(1).start().await;
    let ask = async |prompt: &str| {
        let (status, answer) = post(&server, &request(prompt)).await;
        assert_eq!(status, 200, "{answer}");
        let usage = server
            .http
            .get(server.url("/v1/usage"))
            .send()
            .await
            .unwrap()
            .json::<Value>()
            .await
            .unwrap();
        usage["totals"]["cost_usd"]
            .as_f64()
            .unwrap_or_else(|| panic!("{usage}"))
    };
    let before = ask("[[say=\"ok\"]]").await;
    let searched = ask("[[search=\"a\" search=\"b\" say=\"ok\"]]").await - before;
    assert!(
        (0.02..0.03).contains(&searched),
        "two searches of a cent each: {searched}"
    );
    server.end().await;
}

/// Betas come from the configuration only: the CLI fixes them before the first call of a process.
#[tokio::test(flavor = "multi_thread")]
async fn only_configured_betas_reach_upstream() {
    let server = TestServer::real().await.workers(1);
    let server = server
        .set("SWITCHBOARD_CLAUDE__BETAS", r#"["one-2026-01-01"]"#)
        .start()
        .await;
    for model in ["haiku", "opus"] {
        let body = json!({
            "model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "[[lenient tokens=1]]"}],
        });
        let request = server.http.post(server.url("/v1/messages")).json(&body);
        let response = request
            .header("anthropic-beta", "one-2026-01-01,two-2026-01-01")
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.headers()["x-switchboard-ignored"],
            "anthropic-beta: two-2026-01-01"
        );
        let sent = server.upstream().requests().last().unwrap().headers["anthropic-beta"].clone();
        assert!(
            sent.contains("one-2026-01-01") && !sent.contains("two-"),
            "{sent}"
        );
    }
    server.end().await;
}
