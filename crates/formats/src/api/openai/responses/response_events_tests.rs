//! Responses and their stream events as clients read them.

use async_openai::types::responses;
use async_openai::types::responses::ResponseStreamEvent;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::api::openai::responses::decode;
use crate::api::request_schema::Policy;
use crate::domain;
use crate::domain::BlockDelta;
use crate::domain::CalledTool;
use crate::domain::ServerBlock;

fn writer(shows_thinking: bool) -> ResponseWriter {
    let body = json!({"model": "m", "input": "hi", "tools": [{"type": "function", "name": "f"}]})
        .to_string();
    of_request(&body, shows_thinking)
}

fn of_request(body: &str, shows_thinking: bool) -> ResponseWriter {
    let request = decode(body.as_bytes(), Policy::Strict).unwrap();
    let names = request.tool_names().clone();
    let mut response = request.response;
    response.id = "resp_0123456789abcdef0123456789abcdef".into();
    response.created_at = 7;
    ResponseWriter::new(response, names, shows_thinking)
}

fn finished(reason: FinishReason) -> TurnEvent {
    let usage = domain::Usage {
        input_tokens: 2,
        output_tokens: 3,
        ..domain::Usage::default()
    };
    TurnEvent::Finished(Finish::new(reason, usage))
}

fn call(id: &str) -> TurnEvent {
    TurnEvent::tool_call(id, "f")
}

fn read(events: &[ResponseEvent]) -> Vec<Value> {
    events
        .iter()
        .map(|event| serde_json::from_str(&event.data).unwrap())
        .collect()
}

fn outline(events: &[ResponseEvent]) -> String {
    let line = |event: &Value| {
        let mut line = event["type"].as_str().unwrap().to_owned();
        for field in ["output_index", "delta", "text", "arguments"] {
            match &event[field] {
                Value::Null => {}
                Value::String(text) => line.push_str(&format!(" {text:?}")),
                other => line.push_str(&format!(" {other}")),
            }
        }
        line
    };
    read(events).iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn thinking_text_and_calls_become_items() {
    let mut writer = writer(true);
    let events: Vec<ResponseEvent> = [
        TurnEvent::started("x", domain::Usage::default()),
        TurnEvent::Thinking("h".into()),
        TurnEvent::Thinking("m".into()),
        TurnEvent::ThinkingSignature("sig".into()),
        TurnEvent::ThinkingRedacted("data".into()),
        TurnEvent::Text("Hi".into()),
        call("c1"),
        TurnEvent::ToolInput("{\"a\":1}".into()),
        call("c2"),
        finished(FinishReason::ToolCalls),
    ]
    .iter()
    .flat_map(|event| writer.event(event))
    .collect();
    insta::assert_snapshot!(outline(&events), @r#"
    response.created
    response.in_progress
    response.output_item.added 0
    response.reasoning_summary_part.added 0
    response.reasoning_summary_text.delta 0 "h"
    response.reasoning_summary_text.delta 0 "m"
    response.reasoning_summary_text.done 0 "hm"
    response.reasoning_summary_part.done 0
    response.output_item.done 0
    response.output_item.added 1
    response.output_item.done 1
    response.output_item.added 2
    response.content_part.added 2
    response.output_text.delta 2 "Hi"
    response.output_text.done 2 "Hi"
    response.content_part.done 2
    response.output_item.done 2
    response.output_item.added 3
    response.function_call_arguments.delta 3 "{\"a\":1}"
    response.function_call_arguments.done 3 "{\"a\":1}"
    response.output_item.done 3
    response.output_item.added 4
    response.function_call_arguments.delta 4 "{}"
    response.function_call_arguments.done 4 "{}"
    response.output_item.done 4
    response.completed
    "#);
    let response = serde_json::to_value(writer.response()).unwrap();
    insta::assert_snapshot!(response["output"][3], @r#"{"arguments":"{\"a\":1}","call_id":"c1","id":"fc_0123456789abcdef0123456789abcdef0003","name":"f","status":"completed","type":"function_call"}"#);
    assert_eq!(response["usage"]["total_tokens"], 5);
    let sealed = response["output"][0]["encrypted_content"].as_str().unwrap();
    let thinking = EncryptedContent::Thinking {
        text: "hm".into(),
        signature: "sig".into(),
    };
    assert_eq!(EncryptedContent::from_text(sealed), Some(thinking));
}

#[test]
fn thinking_summary_is_shown_only_on_request() {
    let mut writer = writer(false);
    let mut events = writer.event(&TurnEvent::Thinking("secret".into()));
    events.extend(writer.event(&TurnEvent::ThinkingSignature("s".into())));
    assert!(!events.iter().any(|event| event.data.contains("secret")));
    let response = serde_json::to_value(writer.response()).unwrap();
    assert_eq!(response["output"][0]["summary"], json!([]));
    assert!(response["output"][0]["encrypted_content"].is_string());
}

#[test]
fn token_limit_makes_response_incomplete() {
    for (reason, word) in [
        (FinishReason::Length, "max_output_tokens"),
        (FinishReason::ContentFilter, "content_filter"),
    ] {
        let mut writer = writer(false);
        writer.event(&TurnEvent::Text("a".into()));
        let events = writer.event(&finished(reason));
        assert_eq!(events.last().unwrap().name, "response.incomplete");
        let response = serde_json::to_value(writer.response()).unwrap();
        assert_eq!(response["incomplete_details"]["reason"], word);
        assert_eq!(response["output"][0]["status"], "incomplete");
    }
}

#[test]
fn refusal_becomes_its_own_message() {
    let mut writer = writer(false);
    let events = writer.event(&finished(FinishReason::ContentFilter));
    insta::assert_snapshot!(outline(&events), @r#"
    response.created
    response.in_progress
    response.output_item.added 0
    response.content_part.added 0
    response.refusal.delta 0 "Claude refused to answer."
    response.refusal.done 0
    response.content_part.done 0
    response.output_item.done 0
    response.incomplete
    "#);
    let written = serde_json::to_value(writer.response()).unwrap();
    assert_eq!(
        written["output"][0]["content"],
        json!([{"type": "refusal", "refusal": REFUSAL}])
    );
}

#[test]
fn failure_emits_error_and_failed_events() {
    let mut writer = writer(false);
    writer.event(&TurnEvent::Text("a".into()));
    let envelope = OpenAiErrorEnvelope {
        message: "gone".into(),
        r#type: "rate_limit_error",
        param: None,
        code: Some("busy"),
    };
    let events = read(&writer.fail(&envelope));
    let last = &events[events.len() - 2..];
    assert_eq!(
        (&last[0]["type"], &last[0]["code"], &last[0]["message"]),
        (&json!("error"), &json!("busy"), &json!("gone"))
    );
    assert_eq!(
        last[1]["response"]["error"],
        json!({"code": "rate_limit_exceeded", "message": "gone"})
    );
    assert!(writer.fail(&envelope).is_empty() && writer.cancel().is_empty());
}

#[test]
fn response_matches_openai_schema() {
    let mut writer = writer(true);
    for event in [
        TurnEvent::Thinking("h".into()),
        TurnEvent::Text("a".into()),
        call("c"),
        finished(FinishReason::Stop),
    ] {
        writer.event(&event);
    }
    let written = serde_json::to_string(writer.response()).unwrap();
    let read: responses::Response = serde_json::from_str(&written).unwrap();
    assert_eq!(
        (read.output.len(), read.output_text().as_deref()),
        (3, Some("a"))
    );
}

fn search(id: &str) -> TurnEvent {
    server_call(id, CalledTool::Search)
}

fn server_call(id: &str, tool: CalledTool) -> TurnEvent {
    server_block(ServerTool::Call {
        id: id.into(),
        tool,
    })
}

fn mcp(id: &str) -> TurnEvent {
    server_call(
        id,
        CalledTool::Mcp {
            server: "s".into(),
            tool: "look".into(),
        },
    )
}

fn server_block(tool: ServerTool) -> TurnEvent {
    TurnEvent::ServerBlock(ServerBlock {
        json: "{}".into(),
        tool,
    })
}

fn input(piece: &str) -> TurnEvent {
    TurnEvent::BlockDelta(BlockDelta {
        json: "{}".into(),
        input: Some(piece.into()),
    })
}

fn result(id: &str, is_failed: bool, text: &str) -> TurnEvent {
    let outcome = ServerToolOutcome {
        is_failed,
        texts: vec![text.into()],
    };
    server_block(ServerTool::Result {
        id: id.into(),
        outcome,
    })
}

#[test]
fn parallel_searches_keep_their_sources() {
    let mut writer = writer(false);
    let events: Vec<ResponseEvent> = [
        search("1"),
        input("{\"query\":\"a\"}"),
        search("2"),
        input("{\"query\":\"b\"}"),
        search("3"),
        result("2", false, "https://b"),
        result("1", false, "https://a"),
        result("3", true, "max_uses_exceeded"),
        search("4"),
        TurnEvent::Text("x".into()),
    ]
    .iter()
    .flat_map(|event| writer.event(event))
    .collect();
    let events_outline = outline(&events);
    assert_eq!(
        events_outline
            .matches("web_search_call.in_progress")
            .count(),
        4
    );
    assert_eq!(
        events_outline.matches("web_search_call.completed").count(),
        2
    );
    let output = serde_json::to_value(&writer.response().output).unwrap();
    let of = |index: usize| {
        let item = &output[index];
        let url = item["action"]["sources"][0]["url"]
            .as_str()
            .unwrap_or_default();
        (
            item["status"].clone(),
            item["action"]["query"].clone(),
            url.to_owned(),
        )
    };
    assert_eq!(of(0), (json!("completed"), json!("a"), "https://a".into()));
    assert_eq!(of(1), (json!("completed"), json!("b"), "https://b".into()));
    assert_eq!(of(2), (json!("failed"), json!(""), String::new()));
    assert_eq!(of(3), (json!("incomplete"), json!(""), String::new()));
}

#[test]
fn code_and_mcp_calls_become_items() {
    let mut writer = writer(false);
    let events: Vec<ResponseEvent> = [
        server_call("1", CalledTool::Code),
        input("{\"command\":"),
        input("\"ls\"}"),
        result("1", false, "a.txt"),
        mcp("2"),
        input("{\"a\":1}"),
        result("2", false, "found"),
        mcp("3"),
        result("3", true, "no"),
        server_call("4", CalledTool::Code),
        input("{\"comm"),
        finished(FinishReason::Length),
    ]
    .iter()
    .flat_map(|event| writer.event(event))
    .collect();
    insta::assert_snapshot!(outline(&events), @r#"
    response.created
    response.in_progress
    response.output_item.added 0
    response.code_interpreter_call.in_progress 0
    response.code_interpreter_call_code.delta 0 "ls"
    response.code_interpreter_call_code.done 0
    response.code_interpreter_call.interpreting 0
    response.code_interpreter_call.completed 0
    response.output_item.done 0
    response.output_item.added 1
    response.mcp_call.in_progress 1
    response.mcp_call_arguments.delta 1 "{\"a\":1}"
    response.mcp_call_arguments.done 1 "{\"a\":1}"
    response.mcp_call.completed 1
    response.output_item.done 1
    response.output_item.added 2
    response.mcp_call.in_progress 2
    response.mcp_call_arguments.delta 2 "{}"
    response.mcp_call_arguments.done 2 "{}"
    response.mcp_call.failed 2
    response.output_item.done 2
    response.output_item.added 3
    response.code_interpreter_call.in_progress 3
    response.output_item.done 3
    response.incomplete
    "#);
    let output = serde_json::to_value(&writer.response().output).unwrap();
    let items: Vec<_> = output
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    insta::assert_snapshot!(items.join("\n"), @r#"
    {"code":"ls","container_id":"","id":"ci_0123456789abcdef0123456789abcdef0000","outputs":[{"logs":"a.txt","type":"logs"}],"status":"completed","type":"code_interpreter_call"}
    {"approval_request_id":null,"arguments":"{\"a\":1}","error":null,"id":"mcp_0123456789abcdef0123456789abcdef0001","name":"look","output":"found","server_label":"s","status":"completed","type":"mcp_call"}
    {"approval_request_id":null,"arguments":"{}","error":{"content":[{"text":"no","type":"text"}],"type":"mcp_tool_execution_error"},"id":"mcp_0123456789abcdef0123456789abcdef0002","name":"look","output":null,"server_label":"s","status":"failed","type":"mcp_call"}
    {"code":null,"container_id":"","id":"ci_0123456789abcdef0123456789abcdef0003","outputs":null,"status":"incomplete","type":"code_interpreter_call"}
    "#);
}

fn event() -> impl Strategy<Value = TurnEvent> {
    prop_oneof![
        Just(TurnEvent::started("x", domain::Usage::default())),
        any::<String>().prop_map(TurnEvent::Thinking),
        any::<String>().prop_map(TurnEvent::ThinkingSignature),
        any::<String>().prop_map(TurnEvent::ThinkingRedacted),
        any::<String>().prop_map(TurnEvent::Text),
        Just(call("c")),
        any::<String>().prop_map(TurnEvent::ToolInput),
        "[12]".prop_map(|id| search(&id)),
        "[12]".prop_map(|id| server_call(&id, CalledTool::Code)),
        "[12]".prop_map(|id| mcp(&id)),
        Just(input("{\"code\":\"1\"}")),
        "[12]".prop_map(|id| result(&id, id == "2", "https://a")),
        Just(server_block(ServerTool::Other)),
        any::<String>().prop_map(|piece| input(&piece)),
        prop_oneof![
            Just(FinishReason::Stop),
            Just(FinishReason::Length),
            Just(FinishReason::ContentFilter),
            Just(FinishReason::ToolCalls)
        ]
        .prop_map(finished),
    ]
}

proptest! {
    #[test]
    fn any_events_give_a_well_formed_response_stream(
        turn in proptest::collection::vec(event(), 0..14),
        shows in any::<bool>(),
        is_cancelled in any::<bool>(),
    ) {
        let mut writer = writer(shows);
        let mut events: Vec<ResponseEvent> = turn.iter().flat_map(|event| writer.event(event)).collect();
        let envelope = OpenAiErrorEnvelope { message: "m".into(), r#type: "server_error", param: None, code: None };
        events.extend(if is_cancelled { writer.cancel() } else { writer.fail(&envelope) });
        prop_assert!(writer.is_over());

        let mut open: Option<(String, u64)> = None;
        let mut done = Vec::new();
        for (number, (event, raw)) in read(&events).iter().zip(&events).enumerate() {
            prop_assert!(!raw.data.contains('\n'));
            let typed: Result<ResponseStreamEvent, _> = serde_json::from_str(&raw.data);
            prop_assert!(typed.is_ok(), "{}: {:?}", raw.data, typed.err());
            prop_assert_eq!(event["type"].as_str(), Some(&*raw.name));
            prop_assert_eq!(event["sequence_number"].as_u64(), Some(number as u64));
            match &*raw.name {
                "response.output_item.added" => {
                    prop_assert_eq!(event["output_index"].as_u64(), Some(done.len() as u64));
                    prop_assert!(open.is_none());
                    open = Some((event["item"]["id"].as_str().unwrap().to_owned(), done.len() as u64));
                }
                "response.output_item.done" => {
                    let (id, index) = open.take().unwrap();
                    prop_assert_eq!((event["item"]["id"].as_str(), event["output_index"].as_u64()), (Some(&*id), Some(index)));
                    done.push(event["item"].clone());
                }
                _ if event.get("item_id").is_some() => {
                    let (id, index) = open.clone().unwrap();
                    prop_assert_eq!((event["item_id"].as_str(), event["output_index"].as_u64()), (Some(&*id), Some(index)));
                }
                _ => prop_assert!(open.is_none()),
            }
        }
        let is_last = |event: &&ResponseEvent| {
            ["response.completed", "response.incomplete", "response.failed"].contains(&&*event.name)
        };
        prop_assert_eq!(events.iter().filter(is_last).count(), 1);
        prop_assert!(events.last().as_ref().is_some_and(is_last));
        prop_assert_eq!(&json!(writer.response().output), &json!(done));
    }
}

#[test]
fn absent_response_fields_are_null() {
    let response = serde_json::to_value(writer(false).response()).unwrap();
    for field in [
        "access_programs",
        "error",
        "incomplete_details",
        "instructions",
        "usage",
        "user",
    ] {
        assert_eq!(response.get(field), Some(&Value::Null), "{field}");
    }
}
