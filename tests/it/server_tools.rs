//! Code execution by Anthropic for clients of the Responses API, with the real CLI and the
//! stand-in.

use serde_json::{Value, json};

use crate::support::TestServer;

const PROMPT: &str = r#"[[code="ls -l" say="Done."]]"#;
const BETAS: &str = "code-execution-2025-08-25,mcp-client-2025-11-20";

fn request() -> Value {
    let code = json!({"type": "code_interpreter", "container": {"type": "auto"}});
    json!({"model": "haiku", "input": PROMPT, "tools": [code]})
}

async fn post(server: &TestServer, path: &str, body: &Value) -> (u16, String) {
    let response = server
        .http
        .post(server.url(path))
        .json(body)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn create(server: &TestServer, body: &Value) -> (u16, String) {
    post(server, "/v1/responses", body).await
}

fn error(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn code_interpreter_runs_upstream_and_returns_an_output_item() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BETAS", BETAS)
        .start()
        .await;
    let (status, text) = create(&server, &request()).await;
    assert_eq!(status, 200, "{text}");
    let whole: Value = serde_json::from_str(&text).unwrap();
    let [code, message] = whole["output"].as_array().unwrap().as_slice() else {
        panic!("{whole}")
    };
    assert_eq!(
        (&code["type"], &code["code"]),
        (&json!("code_interpreter_call"), &json!("ls -l"))
    );
    assert_eq!(
        code["outputs"],
        json!([{"type": "logs", "logs": "What `ls -l` puts out.\n"}])
    );
    assert_eq!(message["content"][0]["text"], "Done.");

    let sent = server.upstream().requests().last().unwrap().clone();
    assert!(
        sent.headers["anthropic-beta"].contains("code-execution-2025-08-25"),
        "{:?}",
        sent.headers
    );
    let tool = &sent.body["tools"][0];
    assert_eq!(
        (&tool["type"], &tool["name"]),
        (&json!("code_execution_20250825"), &json!("code_execution"))
    );

    let next =
        json!({"model": "haiku", "input": "[[say=bye]]", "previous_response_id": whole["id"]});
    assert!(create(&server, &next).await.1.contains("bye"));
    assert_eq!(server.upstream().requests().len(), 2);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_interpreter_streams_openai_events() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BETAS", BETAS)
        .start()
        .await;
    let mut body = request();
    body["stream"] = json!(true);
    let (_, text) = create(&server, &body).await;
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: response."));
    assert_eq!(
        names
            .filter(|name| name.contains("_call"))
            .collect::<Vec<_>>(),
        [
            "code_interpreter_call.in_progress",
            "code_interpreter_call_code.delta",
            "code_interpreter_call_code.done",
            "code_interpreter_call.interpreting",
            "code_interpreter_call.completed",
        ]
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_without_its_beta_is_dropped_or_refused_when_forced() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut plain = request();
    plain["input"] = json!("[[say=hi]]");
    let response = server
        .http
        .post(server.url("/v1/responses"))
        .json(&plain)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["x-switchboard-ignored"],
        "tools[0] (code_interpreter)"
    );
    assert_eq!(server.upstream().requests()[0].body["tools"], json!([]));
    server.upstream().clear();
    let mut forced = request();
    forced["tool_choice"] = json!({"type": "code_interpreter"});
    let (status, text) = create(&server, &forced).await;
    let error = error(&text);
    assert_eq!(
        (status, &error["code"]),
        (403, &json!("server_tools_not_allowed"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("add `code-execution-2025-08-25` to `claude.betas`"),
        "{message}"
    );
    assert_eq!(server.upstream().requests().len(), 0);
    server.end().await;
}

/// Fails once the CLI can read calls of MCP servers; then set `READS_MCP` in
/// `src/engine/claude/server_blocks.rs` and test here how such calls reach the client.
#[tokio::test(flavor = "multi_thread")]
async fn cli_cannot_read_calls_of_mcp_servers() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BETAS", BETAS)
        .start()
        .await;
    let prompt = "[[mcp=look input={\"a\":1} say=Done]]";
    let native = json!({
        "model": "haiku", "max_tokens": 99, "messages": [{"role": "user", "content": prompt}],
        "mcp_servers": [{"type": "url", "url": "https://m.example", "name": "docs"}],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "docs"}],
    });
    let (status, text) = post(&server, "/v1/messages", &native).await;
    assert!(status >= 400, "{text}");
    assert_eq!(server.upstream().requests().len(), 1);
    server.upstream().clear();
    let tool = json!({
        "type": "mcp", "server_label": "docs", "server_url": "https://m.example", "require_approval": "never",
    });
    let body =
        json!({"model": "haiku", "input": prompt, "tools": [tool], "tool_choice": "required"});
    let (status, text) = create(&server, &body).await;
    assert_eq!(
        (status, &error(&text)["code"]),
        (403, &json!("server_tools_not_allowed")),
        "{text}"
    );
    assert_eq!(server.upstream().requests().len(), 0);
    server.end().await;
}
