//! Server-side tools, citations and scripted blocks, streamed and whole.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Api, deltas, events, kinds, request};

const SEARCH: &str = r#"[[thinking="Hm." search="Rust news" say="Rust is out."]]"#;

/// Web search tool limited to `max_uses` searches.
fn search_tool(max_uses: u64) -> Value {
    json!({"type": "web_search_20250305", "name": "web_search", "max_uses": max_uses})
}

async fn send_prompt(api: &Api, prompt: &str, more: Value) -> Value {
    api.send(&request(prompt, more)).await.json().await.unwrap()
}

async fn stream(api: &Api, prompt: &str, mut more: Value) -> Vec<Value> {
    more["stream"] = json!(true);
    events(&api.send(&request(prompt, more)).await.text().await.unwrap())
}

/// Content blocks that a client assembles from the events.
fn assemble_blocks(events: &[Value]) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    for event in events {
        let delta = &event["delta"];
        let block = blocks.last_mut();
        match (
            event["type"].as_str().unwrap(),
            delta["type"].as_str(),
            block,
        ) {
            ("content_block_start", ..) => blocks.push(event["content_block"].clone()),
            (_, Some("input_json_delta"), _) => input += delta["partial_json"].as_str().unwrap(),
            (_, Some("citations_delta"), Some(block)) => {
                block["citations"]
                    .as_array_mut()
                    .unwrap()
                    .push(delta["citation"].clone());
            }
            (_, Some("signature_delta"), Some(block)) => {
                block["signature"] = delta["signature"].clone()
            }
            (_, Some(kind), Some(block)) => {
                let field = kind.strip_suffix("_delta").unwrap();
                block[field] = json!(
                    block[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap()
                );
            }
            ("content_block_stop", _, Some(block)) if !input.is_empty() => {
                block["input"] = serde_json::from_str(&std::mem::take(&mut input)).unwrap();
            }
            _ => {}
        }
    }
    blocks
}

#[tokio::test]
async fn search_streams_its_query_results_and_citation() {
    let api = Api::start().await;
    let events = stream(&api, SEARCH, json!({"tools": [search_tool(1)]})).await;
    let of_block = |index: u64| {
        events
            .iter()
            .filter(|event| event["index"] == index)
            .cloned()
            .collect::<Vec<_>>()
    };

    let call = of_block(1);
    let opening = &call[0]["content_block"];
    assert_eq!(
        (&opening["type"], &opening["input"]),
        (&json!("server_tool_use"), &json!({}))
    );
    assert!(
        opening["id"]
            .as_str()
            .unwrap()
            .starts_with("srvtoolu_standin")
    );
    let pieces = deltas(&call, "partial_json");
    assert!(pieces[0].is_empty() && pieces.len() > 2, "{pieces:?}");
    assert_eq!(pieces.concat(), r#"{"query":"Rust news"}"#);

    let result = of_block(2);
    assert_eq!(
        kinds(&result),
        ["content_block_start", "content_block_stop"]
    );
    let block = &result[0]["content_block"];
    assert_eq!(
        (&block["type"], &block["tool_use_id"]),
        (&json!("web_search_tool_result"), &opening["id"])
    );
    let found = block["content"].as_array().unwrap();
    assert_eq!(
        (found.len(), &found[0]["url"]),
        (2, &json!("https://example.com/rust-news"))
    );

    let text = of_block(3);
    assert_eq!(
        text[0]["content_block"],
        json!({"type": "text", "text": "", "citations": []})
    );
    assert_eq!(deltas(&text, "text").concat(), "Rust is out.");
    let citation = &text[1]["delta"]["citation"];
    assert_eq!(
        (&citation["url"], &citation["title"]),
        (&found[0]["url"], &found[0]["title"])
    );
    assert_eq!(citation["type"], "web_search_result_location");
    for field in ["encrypted_index", "cited_text"] {
        assert!(citation[field].is_string(), "{field}");
    }
    let ending = &events[events.len() - 2];
    assert_eq!(ending["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        ending["usage"]["server_tool_use"],
        json!({"web_search_requests": 1})
    );
    assert_eq!(events[0]["message"]["usage"].get("server_tool_use"), None);
}

#[tokio::test]
async fn streamed_and_whole_answers_have_the_same_content() {
    let api = Api::start().await;
    let prompt = r#"[[search=a search=b say="Both." block={"type":"container_upload","file_id":"f"} tool=t]]"#;
    let more =
        json!({"tools": [search_tool(5), {"name": "t", "input_schema": {"type": "object"}}]});
    let whole = send_prompt(&api, prompt, more.clone()).await;
    let mut streamed = assemble_blocks(&stream(&api, prompt, more).await);
    // Ids differ between the two answers.
    let mut content = whole["content"].as_array().unwrap().clone();
    for block in content.iter_mut().chain(&mut streamed) {
        for id in ["id", "tool_use_id"] {
            block.as_object_mut().unwrap().remove(id);
        }
    }
    assert_eq!(streamed, content);
    let kinds: Vec<_> = content
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    let search = ["server_tool_use", "web_search_tool_result"];
    assert_eq!(
        kinds,
        [
            &search[..],
            &search,
            &["text", "container_upload", "tool_use"]
        ]
        .concat()
    );
    assert_eq!(content[4]["citations"].as_array().unwrap().len(), 2);
    assert_eq!(
        whole["usage"]["server_tool_use"],
        json!({"web_search_requests": 2})
    );
    assert_eq!(whole["stop_reason"], "tool_use");
}

#[tokio::test]
async fn searches_beyond_max_uses_are_refused_and_not_charged() {
    let api = Api::start().await;
    let refused =
        json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"});
    for (max_uses, citations) in [(1, 1), (0, 0)] {
        let answer = send_prompt(
            &api,
            "[[search=a search=b say=Done]]",
            json!({"tools": [search_tool(max_uses)]}),
        )
        .await;
        let blocks = answer["content"].as_array().unwrap();
        assert_eq!(
            (&blocks[3]["content"], &blocks[3]["tool_use_id"]),
            (&refused, &blocks[2]["id"])
        );
        assert_eq!(
            blocks[4]["citations"].as_array().map_or(0, Vec::len),
            citations
        );
        assert_eq!(
            answer["usage"]["server_tool_use"],
            json!({"web_search_requests": max_uses})
        );
    }
}

#[tokio::test]
async fn search_requires_an_offered_tool() {
    let api = Api::start().await;
    let tools = json!({"tools": [{"type": "custom", "name": "web_search", "input_schema": {}}]});
    for more in [json!({}), tools] {
        let response = api.send(&request(SEARCH, more)).await;
        assert_eq!(response.status(), 400);
        let error = response.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error");
        assert!(
            error["message"].as_str().unwrap().contains("`web_search`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn truncation_drops_the_following_blocks() {
    let api = Api::start().await;
    let more = |max_tokens: u64| json!({"tools": [search_tool(1)], "max_tokens": max_tokens});
    let answer = send_prompt(&api, SEARCH, more(2)).await;
    assert_eq!(
        (
            answer["content"].as_array().unwrap().len(),
            &answer["stop_reason"]
        ),
        (2, &json!("max_tokens"))
    );
    assert_eq!(answer["usage"].get("server_tool_use"), None);
    let answer = send_prompt(&api, SEARCH, more(6)).await;
    assert_eq!(
        answer["content"][3],
        json!({"type": "text", "text": "Rust is"})
    );
    let answer = send_prompt(&api, r#"[[search=a say=""]]"#, more(9)).await;
    assert_eq!(
        answer["content"].as_array().unwrap().len(),
        2,
        "without a text there is no citation"
    );
}

#[tokio::test]
async fn scripted_blocks_and_deltas_are_sent_unchanged() {
    let api = Api::start().await;
    let block = json!({"type": "mcp_tool_use", "id": "m", "input": {"a": [[1]]}, "new": null});
    let upload = json!({"type": "container_upload", "file_id": "f"});
    let citation = json!({"type": "page_location", "document_index": 0, "cited_text": "x"});
    let delta = json!({"type": "citations_delta", "citation": citation});
    let prompt = format!(
        r#"[[block={block} say="Hi you" delta={delta} block={upload} delta={{"type":"new_delta"}}]]"#
    );
    let events = api.stream(&prompt).await;
    let of_text: Vec<_> = events.iter().filter(|event| event["index"] == 0).collect();
    assert_eq!(of_text[0]["content_block"]["citations"], json!([]));
    assert_eq!(
        (&of_text[1]["delta"], &of_text[2]["delta"]),
        (&delta, &json!({"type": "new_delta"}))
    );
    assert_eq!(of_text[4]["delta"]["text"], " you");
    for (index, block) in [(1, &block), (2, &upload)] {
        let of_block: Vec<_> = events
            .iter()
            .filter(|event| event["index"] == index)
            .cloned()
            .collect();
        assert_eq!(
            kinds(&of_block),
            ["content_block_start", "content_block_stop"]
        );
        assert_eq!(&of_block[0]["content_block"], block);
    }
    let text = json!({"type": "text", "text": "Hi you", "citations": [citation]});
    assert_eq!(
        api.answer_to(&prompt).await["content"],
        json!([text, block, upload])
    );
}

#[tokio::test]
async fn forced_typed_tools_run_on_the_server_or_the_client() {
    let api = Api::start().await;
    let bash = json!({"type": "bash_20250124", "name": "bash"});
    let code = json!({"type": "code_execution_20250825", "name": "code_execution"});
    let toolset = json!({"type": "mcp_toolset", "mcp_server_name": "m"});
    let tools = json!([toolset, search_tool(1), code, bash]);
    let named = |name: &str| json!({"type": "tool", "name": name});
    for (tools, choice, expected) in [
        (
            &tools,
            named("web_search"),
            vec!["server_tool_use", "web_search_tool_result", "text"],
        ),
        (&tools, named("code_execution"), vec!["text"]),
        (&tools, named("bash"), vec!["tool_use"]),
        (&tools, json!({"type": "any"}), vec!["tool_use"]),
        (&json!([toolset]), json!({"type": "any"}), vec!["text"]),
    ] {
        let answer =
            send_prompt(&api, "news", json!({"tools": tools, "tool_choice": choice})).await;
        let blocks = answer["content"].as_array().unwrap();
        let kinds: Vec<_> = blocks
            .iter()
            .map(|block| block["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, expected, "{choice}");
        let is_search = blocks[0]["type"] == "server_tool_use";
        assert!(!is_search || blocks[0]["input"] == json!({"query": "news"}));
    }
}

#[tokio::test]
async fn code_execution_and_mcp_calls_precede_the_text() {
    let api = Api::start().await;
    let prompt = r#"[[code="ls" mcp=look input={"a":1} say=Done]]"#;
    let tools = json!([
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "mcp_toolset", "mcp_server_name": "docs"},
    ]);
    let servers = json!([{"type": "url", "url": "https://m.example", "name": "docs"}]);
    let more = json!({"tools": tools, "mcp_servers": servers});
    let whole = send_prompt(&api, prompt, more.clone()).await;
    let blocks = whole["content"].as_array().unwrap();
    let expected = [
        "server_tool_use",
        "bash_code_execution_tool_result",
        "mcp_tool_use",
        "mcp_tool_result",
        "text",
    ];
    assert_eq!(kinds(blocks), expected);
    assert_eq!(blocks[0]["input"], json!({"command": "ls"}));
    assert_eq!(blocks[1]["content"]["stdout"], "What `ls` puts out.\n");
    assert_eq!(
        (&blocks[2]["server_name"], &blocks[2]["input"]),
        (&json!("docs"), &json!({"a": 1}))
    );
    assert_eq!(blocks[3]["tool_use_id"], blocks[2]["id"]);
    let events = stream(&api, prompt, more).await;
    // Ids contain the number of the request.
    let streamed = json!(assemble_blocks(&events))
        .to_string()
        .replace("00000002", "00000001");
    assert_eq!(streamed, json!(blocks).to_string());

    let refused = api
        .send(&request(prompt, json!({"tools": [search_tool(1)]})))
        .await;
    assert_eq!(refused.status(), 400);
}
