//! Images, documents, thinking and structured output, with the real CLI.

use serde_json::{Value, json};

use crate::support::TestServer;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";

fn last_upstream_body(server: &TestServer) -> Value {
    (*server.upstream().requests().last().unwrap().body).clone()
}

/// Sends `parts` before a text, and returns the blocks sent upstream.
async fn blocks_of(server: &TestServer, parts: &[Value]) -> Vec<Value> {
    let content: Vec<Value> = parts
        .iter()
        .cloned()
        .chain([json!({"type": "text", "text": "[[tokens=1]]"})])
        .collect();
    let answer = server
        .chat("")
        .with("messages", json!([{"role": "user", "content": content}]))
        .send()
        .await;
    assert_eq!(answer.text(), "w1");
    last_upstream_body(server)["messages"][0]["content"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_documents_are_sent_upstream_as_blocks() {
    let server = TestServer::real().await.workers(1).start().await;
    let url = format!("data:image/png;base64,{PNG}");
    let blocks = blocks_of(
        &server,
        &[json!({"type": "image_url", "image_url": {"url": url}})],
    )
    .await;
    let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
    assert_eq!(blocks[0], json!({"type": "image", "source": source}));

    let url = "https://example.com/cat.png";
    let blocks = blocks_of(
        &server,
        &[json!({"type": "image_url", "image_url": {"url": url}})],
    )
    .await;
    assert_eq!(
        blocks[0],
        json!({"type": "image", "source": {"type": "url", "url": url}})
    );

    let file = json!({"filename": "a.pdf", "file_data": "JVBERi0xLjQK"});
    let blocks = blocks_of(&server, &[json!({"type": "file", "file": file})]).await;
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"});
    assert_eq!(
        blocks[0],
        json!({"type": "document", "source": source, "title": "a.pdf"})
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn image_in_the_history_is_sent_and_not_kept_for_the_next_request() {
    let server = TestServer::real().await.workers(1).start().await;
    let image = json!([{"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}}]);
    let messages = json!([
        {"role": "user", "content": image},
        {"role": "assistant", "content": "a red square"},
        {"role": "user", "content": "are you sure? [[tokens=1]]"},
    ]);
    assert_eq!(
        server
            .chat("")
            .with("messages", messages)
            .send()
            .await
            .text(),
        "w1"
    );
    assert_eq!(
        last_upstream_body(&server)["messages"][0]["content"][0]["source"]["data"],
        PNG
    );
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    assert!(!last_upstream_body(&server).to_string().contains(PNG));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thinking_is_returned_as_reasoning_content_before_the_answer() {
    let server = TestServer::real().await.workers(1).start().await;
    let prompt = r#"[[thinking="let me see" say="42 it is"]]"#;
    let answer = server.chat(prompt).send().await;
    assert_eq!(answer.text(), "42 it is");
    assert_eq!(
        answer.body["choices"][0]["message"]["reasoning_content"],
        "let me see"
    );
    let events = server.chat(prompt).stream().await.rest().await;
    let deltas = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let kinds: Vec<_> = deltas
        .filter_map(|chunk| {
            let delta = chunk["choices"][0]["delta"].clone();
            let piece = delta["reasoning_content"]
                .as_str()
                .map(|text| format!("thinks {text}"));
            piece.or_else(|| {
                Some(format!(
                    "says {}",
                    delta["content"].as_str().filter(|text| !text.is_empty())?
                ))
            })
        })
        .collect();
    assert_eq!(
        kinds.concat(),
        "thinks letthinks  methinks  seesays 42says  itsays  is"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_effort_applies_to_its_own_turn_only() {
    let server = TestServer::real().await.workers(1).start().await;
    server.chat("[[tokens=1]]").send().await;
    let plain = last_upstream_body(&server)["output_config"].clone();
    for (effort, expected) in [
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "xhigh"),
    ] {
        server
            .chat("[[tokens=1]]")
            .with("reasoning_effort", effort)
            .send()
            .await;
        assert_eq!(
            last_upstream_body(&server)["output_config"]["effort"],
            expected,
            "{effort}"
        );
    }
    server
        .chat("[[tokens=1]]")
        .with("reasoning_effort", "none")
        .send()
        .await;
    assert_eq!(last_upstream_body(&server)["thinking"], Value::Null);
    server.chat("[[tokens=1]]").send().await;
    assert_eq!(last_upstream_body(&server)["output_config"], plain);
    assert!(last_upstream_body(&server)["thinking"].is_object());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_schema_constrains_the_answer() {
    let server = TestServer::real().await.workers(1).start().await;
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"],
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "person", "strict": true, "schema": schema}});
    let answer = server
        .chat("who?")
        .with("response_format", format)
        .with("reasoning_effort", "high")
        .send()
        .await;
    let person: Value = serde_json::from_str(answer.text()).unwrap();
    assert!(
        person["name"].is_string() && person["age"].is_i64(),
        "{person}"
    );
    let config = last_upstream_body(&server)["output_config"].clone();
    assert_eq!(
        config,
        json!({"effort": "high", "format": {"type": "json_schema", "schema": schema}})
    );
    server.chat("[[tokens=1]]").send().await;
    assert_eq!(
        last_upstream_body(&server)["output_config"]["format"],
        Value::Null,
        "the schema applies to its own turn only"
    );

    let limited =
        json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 1}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": limited}});
    let answer = server
        .chat(r#"[[say="{\"age\":1}"]]"#)
        .with("response_format", format.clone())
        .send()
        .await;
    assert_eq!(answer.text(), r#"{"age":1}"#);
    let age = json!({"type": "integer", "description": "Limits: at least 1."});
    let sent = json!({"type": "object", "properties": {"age": age}, "additionalProperties": false});
    assert_eq!(
        last_upstream_body(&server)["output_config"]["format"]["schema"],
        sent
    );
    let calls = server.upstream().requests().len();
    let refused = server
        .chat(r#"[[say="{\"age\":0}"]]"#)
        .with("response_format", format)
        .send()
        .await;
    assert_eq!(refused.status, 502, "{refused:?}");
    assert_eq!(server.upstream().requests().len(), calls + 2, "one retry");
    server.end().await;
}
