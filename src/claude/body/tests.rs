//! Bodies, as they leave.

use super::request_body;
use crate::claude::SignIn;
use crate::claude::testing::turn;
use crate::domain::Format;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Turn;

fn body(turn: &Turn) -> serde_json::Value {
    serde_json::from_str(&request_body(turn, SignIn::ApiKey).unwrap()).unwrap()
}

fn with_tool() -> Turn {
    let mut turn = turn("hi");
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
    turn.tools.list = vec![Tool { name: "look".to_owned(), description: None, schema, strict: true }];
    turn
}

#[test]
fn tools_go_as_they_came() {
    let text = request_body(&with_tool(), SignIn::ApiKey).unwrap();
    let tools = r#""tools":[{"name":"look","input_schema":{"type":"object","properties":{"z":{},"a":{}}},"strict":true,"cache_control":{"type":"ephemeral"}}]"#;
    assert!(text.contains(tools), "{text}");
}

#[test]
fn choices_are_those_of_the_messages_api() {
    let choice = |choice, parallel| {
        let mut turn = with_tool();
        turn.tools.choice = choice;
        turn.tools.parallel = parallel;
        body(&turn)["tool_choice"].to_string()
    };
    assert_eq!(choice(ToolChoice::Auto, true), "null");
    assert_eq!(choice(ToolChoice::Auto, false), r#"{"disable_parallel_tool_use":true,"type":"auto"}"#);
    assert_eq!(choice(ToolChoice::None, false), r#"{"type":"none"}"#);
    assert_eq!(choice(ToolChoice::Required, true), r#"{"type":"any"}"#);
    assert_eq!(choice(ToolChoice::Named("look".to_owned()), true), r#"{"name":"look","type":"tool"}"#);
}

#[test]
fn an_object_is_answered_by_a_call() {
    let mut turn = turn("hi");
    turn.sampling.format = Format::JsonObject;
    let body_of = body(&turn);
    assert_eq!(body_of["tools"][0]["name"], "answer_with_json");
    assert_eq!(body_of["tool_choice"]["name"], "answer_with_json");
    let mut turn = with_tool();
    turn.tools.list[0].name = "answer_with_json".to_owned();
    turn.sampling.format = Format::JsonObject;
    let body_of = body(&turn);
    assert_eq!(body_of["tools"][1]["name"], "answer_with_json_");
    assert_eq!(body_of["tool_choice"]["type"], "any");
    assert_eq!(body_of["tool_choice"]["disable_parallel_tool_use"], true);
}

#[test]
fn a_budget_of_thinking_is_sent_where_the_model_may_think() {
    let mut turn = with_tool();
    turn.sampling.thinking_budget = Some(2000);
    assert_eq!(body(&turn)["thinking"]["budget_tokens"], 2000);
    turn.tools.choice = ToolChoice::Required;
    assert!(body(&turn)["thinking"].is_null());
}
