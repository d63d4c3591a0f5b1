//! Web search for OpenAI clients, with the real CLI and Anthropic's tool simulated by the stand-in.

use serde_json::{Value, json};

use crate::support::TestServer;

const PROMPT: &str = "[[search=\"rust news\" say=\"It is out.\"]]";

fn tool(server: &TestServer) -> Value {
    server.upstream().requests().last().unwrap().body["tools"][0].clone()
}

/// Citation that the stand-in attaches to its text.
fn citation() -> Value {
    let url = "https://example.com/rust-news";
    json!({"type": "url_citation", "start_index": 0, "end_index": 10, "title": "All about rust news", "url": url})
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_web_search_returns_url_annotations() {
    let server = TestServer::real().await.workers(1).start().await;
    let user_location =
        json!({"type": "approximate", "approximate": {"city": "Bern", "country": "CH"}});
    let options = json!({"search_context_size": "low", "user_location": user_location});
    let whole = server
        .chat(PROMPT)
        .with("web_search_options", options.clone())
        .send()
        .await;
    assert_eq!(whole.text(), "It is out.");
    let mut expected = citation();
    expected.as_object_mut().unwrap().remove("type");
    let expected = json!([{"type": "url_citation", "url_citation": expected}]);
    assert_eq!(whole.body["choices"][0]["message"]["annotations"], expected);
    assert_eq!(
        tool(&server),
        json!({
            "type": "web_search_20250305", "name": "web_search", "max_uses": 5,
            "user_location": {"type": "approximate", "city": "Bern", "country": "CH"},
            "cache_control": {"type": "ephemeral"},
        })
    );
    let events = server
        .chat(PROMPT)
        .with("web_search_options", options)
        .stream()
        .await
        .rest()
        .await;
    let chunks = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let annotations: Vec<_> = chunks
        .map(|chunk| chunk["choices"][0]["delta"]["annotations"].clone())
        .filter(Value::is_array)
        .collect();
    assert_eq!(annotations, [expected]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_web_search_returns_calls_and_annotations_and_continues() {
    let server = TestServer::real().await.workers(1).start().await;
    let create = async |body: Value| {
        let response = server
            .http
            .post(server.url("/v1/responses"))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    };
    let search = json!([{"type": "web_search", "filters": {"allowed_domains": ["example.com"]}}]);
    let body = json!({"model": "haiku", "input": PROMPT, "tools": search});
    let whole: Value = serde_json::from_str(&create(body.clone()).await).unwrap();
    let [call, message] = whole["output"].as_array().unwrap().as_slice() else {
        panic!("{whole}")
    };
    assert_eq!(
        (&call["type"], &call["status"]),
        (&json!("web_search_call"), &json!("completed"))
    );
    assert_eq!(
        (&call["action"]["type"], &call["action"]["query"]),
        (&json!("search"), &json!("rust news"))
    );
    assert_eq!(
        call["action"]["sources"][0]["url"],
        "https://example.com/rust-news"
    );
    assert_eq!(message["content"][0]["text"], "It is out.");
    assert_eq!(message["content"][0]["annotations"], json!([citation()]));
    assert_eq!(tool(&server)["allowed_domains"], json!(["example.com"]));

    let next =
        json!({"model": "haiku", "input": "[[say=\"bye\"]]", "previous_response_id": whole["id"]});
    assert!(create(next).await.contains("bye"));

    let mut streamed = body;
    streamed["stream"] = json!(true);
    let text = create(streamed).await;
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: response."))
        .collect();
    let search_events: Vec<_> = names
        .iter()
        .filter(|name| name.contains("web_search_call"))
        .collect();
    assert_eq!(
        search_events,
        [
            &"web_search_call.in_progress",
            &"web_search_call.searching",
            &"web_search_call.completed"
        ]
    );
    assert!(names.contains(&"output_text.annotation.added"), "{names:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_web_search_is_refused_or_dropped() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_WEB_SEARCH__ENABLED", "false");
    let server = server.start().await;
    let refused = server
        .chat(PROMPT)
        .with("web_search_options", json!({}))
        .send()
        .await;
    assert_eq!(
        refused.error(),
        "403 invalid_request_error web_search_not_allowed"
    );
    let plain = json!({"model": "haiku", "input": "[[say=hi]]", "tools": [{"type": "web_search"}]});
    let left_out = server
        .http
        .post(server.url("/v1/responses"))
        .json(&plain)
        .send()
        .await
        .unwrap();
    assert_eq!(
        left_out.headers()["x-switchboard-ignored"],
        "tools[0] (web_search)"
    );
    assert_eq!(server.upstream().requests()[0].body["tools"], json!([]));
    server.upstream().clear();
    let body = json!({
        "model": "haiku", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    });
    let refused = server
        .http
        .post(server.url("/v1/messages"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(server.upstream().requests().len(), 0);
    server.end().await;
}
