//! Chat streams as clients read them.

use async_openai::types::chat::CreateChatCompletionStreamResponse as Chunk;
use proptest::prelude::*;

use super::*;
use crate::domain::FinishReason;
use crate::domain::Usage;

fn reply() -> ChatReply {
    ChatReply {
        id: "chatcmpl-1".into(),
        created: 7,
        model: "a \"model\"".into(),
        tool_call_format: ToolCallFormat::Tools,
    }
}

fn started() -> TurnEvent {
    TurnEvent::started("claude-sonnet", Usage::default())
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.into())
}

fn finished(reason: FinishReason) -> TurnEvent {
    let usage = Usage {
        input_tokens: 2,
        output_tokens: 3,
        ..Usage::default()
    };
    TurnEvent::Finished(Finish::new(reason, usage))
}

fn encode(include_usage: bool, events: &[TurnEvent]) -> (Vec<String>, Option<&'static str>) {
    let mut encoder = ChatStreamEncoder::new(&reply(), 1, include_usage);
    let payloads = events
        .iter()
        .flat_map(|event| encoder.event(0, event))
        .collect();
    (payloads, encoder.done())
}

#[test]
fn chat_stream_without_usage_is_stable() {
    let (payloads, done) = encode(
        false,
        &[started(), text("Hé\n\u{7}"), finished(FinishReason::Length)],
    );
    let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"a \"model\"","choices":[{"index":0,"delta":"#;
    assert_eq!(
        payloads,
        [
            format!(
                r#"{head}{{"role":"assistant","content":"","refusal":null}},"logprobs":null,"finish_reason":null}}]}}"#
            ),
            format!(
                r#"{head}{{"content":"Hé\n\u0007"}},"logprobs":null,"finish_reason":null}}]}}"#
            ),
            format!(r#"{head}{{}},"logprobs":null,"finish_reason":"length"}}]}}"#),
        ]
    );
    assert_eq!(done, Some("[DONE]"));
}

#[test]
fn usage_chunk_is_last_and_null_before() {
    let (payloads, _) = encode(true, &[text("a"), finished(FinishReason::Stop)]);
    let (last, others) = payloads.split_last().unwrap();
    assert_eq!(others.len(), 3);
    assert!(
        others
            .iter()
            .all(|payload| payload.ends_with(r#"],"usage":null}"#)),
        "{others:?}"
    );
    assert!(last.contains(
        r#""choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"#
    ));
}

#[test]
fn no_payload_follows_an_error() {
    let mut encoder = ChatStreamEncoder::new(&reply(), 1, true);
    encoder.event(0, &text("a"));
    let envelope = OpenAiErrorEnvelope {
        message: "gone".into(),
        r#type: "server_error",
        param: None,
        code: Some("crashed"),
    };
    assert_eq!(
        encoder.failed(&envelope),
        r#"{"error":{"message":"gone","type":"server_error","param":null,"code":"crashed"}}"#
    );
    assert!(encoder.event(0, &text("b")).is_empty());
    assert!(encoder.event(0, &finished(FinishReason::Stop)).is_empty());
    assert_eq!(encoder.done(), None);
}

#[test]
fn done_is_absent_for_unfinished_stream() {
    assert_eq!(encode(false, &[started(), text("a")]).1, None);
}

fn call(id: &str) -> TurnEvent {
    TurnEvent::tool_call(id, "look")
}

fn input(piece: &str) -> TurnEvent {
    TurnEvent::ToolInput(piece.into())
}

/// Returns the deltas of the payloads of one choice.
fn deltas(payloads: &[String]) -> String {
    let delta = |payload: &String| {
        let chunk: serde_json::Value = serde_json::from_str(payload).unwrap();
        format!(
            "{} {}",
            chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]
        )
    };
    payloads.iter().map(delta).collect::<Vec<_>>().join("\n")
}

#[test]
fn tool_calls_stream_in_order_with_input() {
    let (payloads, _) = encode(
        false,
        &[
            text("a"),
            call("1"),
            input("{\"x\":"),
            input("1}"),
            call("2"),
            finished(FinishReason::ToolCalls),
        ],
    );
    insta::assert_snapshot!(deltas(&payloads), @r#"
    {"content":"","refusal":null,"role":"assistant"} null
    {"content":"a"} null
    {"tool_calls":[{"function":{"arguments":"","name":"look"},"id":"1","index":0,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{\"x\":"},"index":0}]} null
    {"tool_calls":[{"function":{"arguments":"1}"},"index":0}]} null
    {"tool_calls":[{"function":{"arguments":"","name":"look"},"id":"2","index":1,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{}"},"index":1}]} null
    {} "tool_calls"
    "#);
}

#[test]
fn empty_tool_input_is_sent_before_next_event() {
    let (payloads, _) = encode(
        false,
        &[
            call("1"),
            input(""),
            text("a"),
            call("2"),
            finished(FinishReason::ToolCalls),
        ],
    );
    insta::assert_snapshot!(deltas(&payloads[1..]), @r#"
    {"tool_calls":[{"function":{"arguments":"","name":"look"},"id":"1","index":0,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{}"},"index":0}]} null
    {"content":"a"} null
    {"tool_calls":[{"function":{"arguments":"","name":"look"},"id":"2","index":1,"type":"function"}]} null
    {"tool_calls":[{"function":{"arguments":"{}"},"index":1}]} null
    {} "tool_calls"
    "#);
}

#[test]
fn legacy_format_streams_one_function_call() {
    let reply = ChatReply {
        tool_call_format: ToolCallFormat::Functions,
        ..reply()
    };
    let mut encoder = ChatStreamEncoder::new(&reply, 1, false);
    let events = [
        call("1"),
        input("{}"),
        call("2"),
        input("{}"),
        finished(FinishReason::ToolCalls),
    ];
    let payloads: Vec<_> = events
        .iter()
        .flat_map(|event| encoder.event(0, event))
        .collect();
    insta::assert_snapshot!(deltas(&payloads[1..]), @r#"
    {"function_call":{"arguments":"","name":"look"}} null
    {"function_call":{"arguments":"{}"}} null
    {} "function_call"
    "#);
}

#[test]
fn refusal_delta_precedes_finish() {
    let (payloads, _) = encode(false, &[text("I"), finished(FinishReason::ContentFilter)]);
    insta::assert_snapshot!(deltas(&payloads[2..]), @r#"
    {"refusal":"Claude refused to answer."} null
    {} "content_filter"
    "#);
}

#[test]
fn choices_have_indexes_and_usage_is_summed() {
    let mut encoder = ChatStreamEncoder::new(&reply(), 2, true);
    let end = finished(FinishReason::Stop);
    let events = [
        (1, text("b")),
        (0, text("a")),
        (1, end.clone()),
        (1, text("late")),
        (0, end.clone()),
        (5, end),
    ];
    let payloads: Vec<_> = events
        .iter()
        .flat_map(|(index, event)| encoder.event(*index, event))
        .collect();
    let chunks: Vec<Chunk> = payloads
        .iter()
        .map(|payload| serde_json::from_str(payload).unwrap())
        .collect();
    let order: Vec<_> = chunks
        .iter()
        .flat_map(|chunk| &chunk.choices)
        .map(|choice| choice.index)
        .collect();
    assert_eq!(order, [1, 1, 0, 0, 1, 0]);
    assert_eq!(
        chunks.last().unwrap().usage.as_ref().unwrap().total_tokens,
        10
    );
    assert_eq!(encoder.done(), Some("[DONE]"));
}

fn event() -> impl Strategy<Value = TurnEvent> {
    prop_oneof![
        1 => Just(started()),
        6 => any::<String>().prop_map(TurnEvent::Text),
        2 => Just(call("1")),
        3 => prop_oneof![Just(input("{")), Just(input("}")), Just(input(""))],
        1 => prop_oneof![
            Just(FinishReason::Stop), Just(FinishReason::Length), Just(FinishReason::ContentFilter)
        ].prop_map(finished),
    ]
}

proptest! {
    #[test]
    fn any_events_give_a_well_formed_chat_stream(
        events in proptest::collection::vec(event(), 0..12),
        include_usage in any::<bool>(),
    ) {
        let (payloads, done) = encode(include_usage, &events);
        let chunks: Vec<Chunk> = payloads.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
        let end = events.iter().position(|event| matches!(event, TurnEvent::Finished(_)));

        prop_assert!(payloads.iter().all(|payload| !payload.contains('\n')));
        for chunk in &chunks {
            prop_assert_eq!((chunk.id.as_str(), chunk.created, chunk.model.as_str()), ("chatcmpl-1", 7, "a \"model\""));
            prop_assert_eq!(&chunk.object, "chat.completion.chunk");
            prop_assert!(chunk.choices.iter().all(|choice| choice.index == 0));
        }
        let roles: Vec<_> = chunks.iter().map(|c| c.choices.iter().any(|c| c.delta.role.is_some())).collect();
        prop_assert_eq!(roles.iter().filter(|&&role| role).count(), usize::from(!events.is_empty()));
        prop_assert!(roles.first().is_none_or(|&first| first));

        let content: String = chunks.iter().flat_map(|c| &c.choices).filter_map(|c| c.delta.content.as_deref()).collect();
        let meant: String = events[..end.unwrap_or(events.len())]
            .iter()
            .filter_map(|event| if let TurnEvent::Text(text) = event { Some(text.as_str()) } else { None })
            .collect();
        prop_assert_eq!(content, meant);

        let finishes = chunks.iter().flat_map(|c| &c.choices).filter(|c| c.finish_reason.is_some()).count();
        prop_assert_eq!(finishes, usize::from(end.is_some()));
        let calls: Vec<_> = chunks.iter().flat_map(|c| &c.choices).flat_map(|c| c.delta.tool_calls.iter().flatten()).collect();
        let mut calls_begun = 0;
        for call in calls {
            if call.id.is_some() {
                prop_assert_eq!(call.index, calls_begun);
                prop_assert!(call.function.as_ref().unwrap().name.is_some());
                calls_begun += 1;
            } else {
                prop_assert_eq!(call.index + 1, calls_begun, "input of the call begun last");
            }
        }

        let usages = chunks.iter().filter(|chunk| chunk.usage.is_some()).count();
        prop_assert_eq!(usages, usize::from(end.is_some() && include_usage));
        prop_assert_eq!(done.is_some(), end.is_some());
        if let (Some(last), Some(_)) = (chunks.last(), end) {
            prop_assert_eq!(last.choices.is_empty(), include_usage);
        }
    }
}

#[test]
fn custom_tool_call_streams_plain_text() {
    let dialect = ToolCallFormat::Custom(vec!["c".to_owned()]);
    let reply = ChatReply {
        tool_call_format: dialect,
        ..reply()
    };
    let mut encoder = ChatStreamEncoder::new(&reply, 1, false);
    let events = [
        TurnEvent::tool_call("1", "c"),
        TurnEvent::ToolInput("{\"input\":\"a\\".to_owned()),
        TurnEvent::ToolInput("nb\"}".to_owned()),
        TurnEvent::tool_call("2", "f"),
        TurnEvent::Finished(Finish::new(FinishReason::ToolCalls, Usage::default())),
    ];
    let payloads: Vec<_> = events
        .iter()
        .flat_map(|event| encoder.event(0, event))
        .collect();
    let delta = |payload: &String| {
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        payload["choices"][0]["delta"]["tool_calls"].get(0).cloned()
    };
    let deltas: Vec<_> = payloads.iter().filter_map(delta).collect();
    assert_eq!(
        serde_json::Value::from(deltas),
        serde_json::json!([
            {"index": 0, "id": "1", "type": "custom", "custom": {"name": "c", "input": ""}},
            {"index": 0, "custom": {"input": "a"}},
            {"index": 0, "custom": {"input": "\nb"}},
            {"index": 1, "id": "2", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"index": 1, "function": {"arguments": "{}"}},
        ])
    );
    let calls = vec![crate::domain::ToolUse {
        id: "1".into(),
        name: "c".into(),
        input: r#"{"input":"a\nb"}"#.into(),
    }];
    let answer = super::super::answer::ChatAnswer {
        calls,
        ..Default::default()
    };
    let whole: serde_json::Value = serde_json::from_slice(&reply.response(&[answer])).unwrap();
    assert_eq!(
        whole["choices"][0]["message"]["tool_calls"],
        serde_json::json!([{"id": "1", "type": "custom", "custom": {"name": "c", "input": "a\nb"}}])
    );
}
