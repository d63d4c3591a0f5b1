//! Lines as CLI 2.1.329 writes them during a task.

use super::{AgentTranslator, Reaction};
use crate::engine::agent::AgentEvent;
use crate::engine::claude::protocol::parse_agent;

/// Renders the events of `lines`, one in each line, and the reactions.
fn events_text(lines: &[&str]) -> String {
    let mut translator = AgentTranslator::default();
    let mut text = String::new();
    for line in lines {
        let reaction = translator.translate(parse_agent(line.as_bytes()).unwrap());
        for event in translator.events.drain(..) {
            text += &match event {
                AgentEvent::ToolResult {
                    id,
                    content,
                    is_error,
                    change,
                } => {
                    format!("ToolResult {id} {content:?} {is_error} {change:?}\n")
                }
                event => format!("{event:?}\n"),
            };
        }
        match reaction {
            Reaction::None => {}
            reaction => text += &format!("{reaction:?}\n"),
        }
    }
    text
}

#[test]
fn tool_calls_and_results_become_events() {
    let use_ = r#"{"type":"assistant","message":{"content":[{"text":"writing","type":"text"},{"id":"toolu_1","input":{"file_path":"/ws/a"},"name":"Write","type":"tool_use"}]},"parent_tool_use_id":null}"#;
    let created = r#"{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"File created"}]},"parent_tool_use_id":null,"tool_use_result":{"type":"create","filePath":"/ws/a","content":"x","structuredPatch":[]}}"#;
    let edited = r#"{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_2","type":"tool_result","content":[{"type":"text","text":"ok"}]}]},"tool_use_result":{"filePath":"/ws/b","oldString":"x","structuredPatch":[]}}"#;
    let refused = r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","content":"no","is_error":true,"tool_use_id":"toolu_3"}]},"tool_use_result":"Error: no"}"#;
    let read = r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","content":"x","tool_use_id":"toolu_4"}]},"tool_use_result":{"type":"text","file":{"filePath":"/ws/a"}}}"#;
    let note =
        r#"{"type":"user","message":{"role":"user","content":"[Request interrupted by user]"}}"#;
    let within = r#"{"type":"assistant","message":{"content":[{"text":"of a tool","type":"text"}]},"parent_tool_use_id":"toolu_9"}"#;
    insta::assert_snapshot!(events_text(&[
        use_, created, edited, refused, read, note, within
    ]));
}

#[test]
fn permission_requests_are_raised_and_withdrawn() {
    let question = r#"{"type":"control_request","request_id":"q1","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"touch b"},"decision_reason":"Path is outside","tool_use_id":"toolu_1"}}"#;
    let cancel = r#"{"type":"control_cancel_request","request_id":"q1"}"#;
    let other =
        r#"{"type":"control_request","request_id":"q2","request":{"subtype":"mcp_message"}}"#;
    insta::assert_snapshot!(events_text(&[question, cancel, cancel, other]));
}

#[test]
fn agent_stop_reasons_are_distinguished() {
    let result = |fields: &str| {
        let line = format!(
            r#"{{"type":"result","usage":{{"input_tokens":5,"output_tokens":2}},{fields}}}"#
        );
        events_text(&[&line])
    };
    let endings = [
        r#""subtype":"success","is_error":false,"terminal_reason":"completed","result":"done","total_cost_usd":0.5"#,
        r#""subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools","errors":["x"]"#,
        r#""subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_streaming""#,
        r#""subtype":"error_max_turns","is_error":true,"terminal_reason":"max_turns","errors":["Reached"]"#,
        r#""subtype":"error_max_budget_usd","is_error":true,"terminal_reason":"budget_exhausted","errors":["Reached"]"#,
        r#""subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: x"]"#,
        r#""subtype":"success","is_error":true,"terminal_reason":"api_error","api_error_status":500,"result":"API Error: 500""#,
    ];
    insta::assert_snapshot!(endings.map(result).concat());
}

#[test]
fn agent_tokens_are_summed() {
    let start = r#"{"type":"stream_event","event":{"type":"message_start","message":{"model":"m","usage":{"input_tokens":10,"output_tokens":1}}}}"#;
    let end = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{},"usage":{"output_tokens":4}}}"#;
    insta::assert_snapshot!(events_text(&[start, end, start, end]));
}

#[test]
fn status_requesting_becomes_a_calling_event() {
    let lines = [
        r#"{"type":"system","subtype":"status","status":"requesting","session_id":"s","uuid":"u"}"#,
        r#"{"type":"system","subtype":"status","status":null,"session_id":"s","uuid":"u"}"#,
        r#"{"type":"system","subtype":"init","cwd":"/ws","tools":[]}"#,
    ];
    assert_eq!(events_text(&lines), "CallSent\n");
}
