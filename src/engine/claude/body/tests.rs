//! Request bodies as they are sent.

use serde_json::Value;
use serde_json::json;

use super::content_to_count;
use super::request_body;
use crate::domain::McpServer;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::ToolResult;
use crate::domain::Turn;
use crate::domain::WebSearch;
use crate::engine::claude::SignIn;
use crate::engine::claude::testing::turn;

fn body(turn: &Turn) -> serde_json::Value {
    serde_json::from_str(&request_body(turn, SignIn::ApiKey).unwrap()).unwrap()
}

fn with_tool() -> Turn {
    let mut turn = turn("hi");
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
    turn.tools.list = vec![Tool {
        name: "look".to_owned(),
        description: None,
        schema,
        strict: true,
    }];
    turn
}

#[test]
fn body_preserves_tools_as_given() {
    let text = request_body(&with_tool(), SignIn::ApiKey).unwrap();
    let tools = r#""tools":[{"name":"look","input_schema":{"type":"object","properties":{"z":{},"a":{}}},"strict":true,"cache_control":{"type":"ephemeral"}}]"#;
    assert!(text.contains(tools), "{text}");
}

#[test]
fn body_without_prompt_ends_with_the_paused_answer() {
    let mut turn = turn("hi");
    let prompt = std::mem::take(&mut turn.prompt);
    turn.history = vec![
        Message {
            role: Role::User,
            parts: prompt,
        },
        Message {
            role: Role::Assistant,
            parts: vec![Part::text("so far")],
        },
    ];
    assert_eq!(
        body(&turn)["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "so far"}]},
        ])
    );
}

#[test]
fn trailing_instructions_become_a_system_message() {
    let mut turn = turn("hi");
    let instruction = || Part::Instruction("be brief".to_owned());
    let message = |role, parts| Message { role, parts };
    turn.history = vec![
        message(Role::User, vec![Part::text("a"), instruction()]),
        message(Role::Assistant, vec![Part::text("b")]),
    ];
    turn.prompt = vec![Part::text("c"), instruction()];
    let mark = json!({"type": "ephemeral"});
    assert_eq!(
        body(&turn)["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": mark}]},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
            {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": mark}]},
        ])
    );
    turn.history = vec![
        message(Role::User, vec![Part::text("a")]),
        message(Role::Assistant, vec![Part::text("b")]),
    ];
    turn.prompt = vec![Part::Continue];
    turn.sampling.thinking_budget = Some(2000);
    let body = body(&turn);
    assert_eq!(
        (&body["messages"][1]["role"], &body["messages"][2]),
        (&json!("assistant"), &Value::Null)
    );
    assert!(
        body["thinking"].is_null(),
        "Anthropic refuses it behind an answer that has begun"
    );
}

#[test]
fn body_tool_choice_follows_the_messages_api() {
    let choice = |choice, parallel| {
        let mut turn = with_tool();
        turn.tools.choice = choice;
        turn.tools.parallel = parallel;
        body(&turn)["tool_choice"].to_string()
    };
    assert_eq!(choice(ToolChoice::Auto, true), "null");
    assert_eq!(
        choice(ToolChoice::Auto, false),
        r#"{"disable_parallel_tool_use":true,"type":"auto"}"#
    );
    assert_eq!(choice(ToolChoice::None, false), r#"{"type":"none"}"#);
    assert_eq!(choice(ToolChoice::Required, true), r#"{"type":"any"}"#);
    assert_eq!(
        choice(ToolChoice::Named("look".to_owned()), true),
        r#"{"name":"look","type":"tool"}"#
    );
}

#[test]
fn tool_choice_applies_to_server_tools() {
    let mut turn = turn("hi");
    turn.tools.choice = ToolChoice::Required;
    assert!(body(&turn)["tool_choice"].is_null(), "there is none");
    let mut written = turn.clone();
    written.native.tools = Some(vec![r#"{"type":"bash_20250124","name":"bash"}"#.to_owned()]);
    assert_eq!(body(&written)["tool_choice"], json!({"type": "any"}));
    turn.tools.web_search = Some(WebSearch::default());
    assert_eq!(body(&turn)["tool_choice"], json!({"type": "any"}));
    turn.tools.choice = ToolChoice::None;
    assert_eq!(body(&turn)["tool_choice"], json!({"type": "none"}));
}

#[test]
fn code_execution_and_mcp_servers_become_server_tools() {
    let mut turn = turn("hi");
    turn.tools.runs_code = true;
    let server = |name: &str, token: Option<&str>, allowed_tools| McpServer {
        name: name.to_owned(),
        url: "https://m.example".to_owned(),
        token: token.map(str::to_owned),
        allowed_tools,
    };
    turn.tools.mcp_servers = vec![
        server("a", None, None),
        server("b", Some("t"), Some(vec!["look".to_owned()])),
    ];
    let body = body(&turn);
    insta::assert_snapshot!(body["tools"], @r#"[{"name":"code_execution","type":"code_execution_20250825"},{"mcp_server_name":"a","type":"mcp_toolset"},{"cache_control":{"type":"ephemeral"},"configs":{"look":{"enabled":true}},"default_config":{"enabled":false},"mcp_server_name":"b","type":"mcp_toolset"}]"#);
    insta::assert_snapshot!(body["mcp_servers"], @r#"[{"name":"a","type":"url","url":"https://m.example"},{"authorization_token":"t","name":"b","type":"url","url":"https://m.example"}]"#);
    assert_eq!(
        format!("{:?}", turn.tools.mcp_servers[1]),
        r#"McpServer { name: "b", .. }"#
    );
}

#[test]
fn content_to_count_includes_server_tools() {
    let fetch = r#"{"type":"web_fetch_20250910","name":"web_fetch"}"#;
    let mut turn = with_tool();
    turn.native.tools = Some(vec![
        r#"{"name":"look","input_schema":{}}"#.to_owned(),
        fetch.to_owned(),
    ]);
    let counted: serde_json::Value = serde_json::from_str(&content_to_count(&turn)).unwrap();
    let text = counted[1]["text"].as_str().unwrap();
    assert!(
        text.contains(fetch) && text.matches("look").count() == 1,
        "{text}"
    );
    turn.native.tools = None;
    turn.tools.web_search = Some(WebSearch::default());
    assert!(content_to_count(&turn).contains("web_search_20250305"));
}

#[test]
fn thinking_budget_is_sent_only_if_the_model_may_think() {
    let mut turn = with_tool();
    turn.sampling.thinking_budget = Some(2000);
    assert_eq!(body(&turn)["thinking"]["budget_tokens"], 2000);
    turn.tools.choice = ToolChoice::Required;
    assert!(body(&turn)["thinking"].is_null());
}

/// Returns the cache breakpoints in a body: those of tools, of instructions, and of messages as
/// `message/block`.
fn marks(turn: &Turn) -> Vec<String> {
    let body = body(turn);
    let ttl = |block: &serde_json::Value| {
        let ttl = block["cache_control"]["ttl"]
            .as_str()
            .unwrap_or("5m")
            .to_owned();
        (!block["cache_control"].is_null()).then_some(ttl)
    };
    let list = |name: &str, list: &serde_json::Value| {
        let blocks = list.as_array().unwrap().iter().enumerate();
        blocks
            .filter_map(|(index, block)| Some(format!("{name}{index} {}", ttl(block)?)))
            .collect::<Vec<_>>()
    };
    let mut marks = [
        list("tool", &body["tools"]),
        list("system", &body["system"]),
    ]
    .concat();
    for (index, message) in body["messages"].as_array().unwrap().iter().enumerate() {
        marks.extend(list(&format!("{index}/"), &message["content"]));
    }
    marks
}

#[test]
fn breakpoints_end_tools_instructions_and_last_two_user_messages() {
    let mut turn = with_tool();
    let message = |role, text: &str| Message {
        role,
        parts: vec![Part::text(text)],
    };
    turn.history = vec![
        message(Role::User, "a"),
        message(Role::Assistant, "b"),
        message(Role::User, "c"),
    ];
    turn.history.push(message(Role::Assistant, "d"));
    assert_eq!(marks(&turn), ["tool0 5m", "system0 5m", "2/0 5m", "4/0 5m"]);
    turn.native.has_long_cache_ttl = true;
    assert_eq!(marks(&turn), ["tool0 1h", "system0 1h", "2/0 1h", "4/0 1h"]);
}

#[test]
fn breakpoints_of_the_caller_take_precedence() {
    let mut turn = with_tool();
    let mark =
        |ttl: &str| Part::CacheBreakpoint(format!(r#"{{"type":"ephemeral","ttl":"{ttl}"}}"#));
    turn.prompt = vec![Part::text("a"), mark("1h"), Part::text("b")];
    assert_eq!(
        marks(&turn),
        ["tool0 1h", "system0 1h", "0/0 1h"],
        "longer ones first"
    );
    turn.prompt = vec![
        Part::text("a"),
        mark("5m"),
        Part::text("b"),
        mark("5m"),
        Part::text("c"),
        mark("5m"),
    ];
    assert_eq!(
        marks(&turn),
        ["0/0 5m", "0/1 5m", "0/2 5m"],
        "no more than four in all"
    );
    let parts = vec![Part::text("a"), mark("5m")];
    turn.prompt = vec![Part::ToolResult(ToolResult {
        id: "t".to_owned(),
        parts,
        is_error: false,
    })];
    assert_eq!(
        marks(&turn),
        ["tool0 5m", "system0 5m"],
        "and one inside the result"
    );
    assert!(!body(&turn)["messages"][0]["content"][0]["content"][0]["cache_control"].is_null());
    turn.prompt = vec![Part::text("a")];
    turn.native.has_cache_breakpoints = true;
    assert_eq!(marks(&turn), Vec::<String>::new());
}
