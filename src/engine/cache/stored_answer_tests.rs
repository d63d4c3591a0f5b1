use super::*;

fn usage() -> Usage {
    Usage {
        input_tokens: 1,
        cache_write_tokens: 2,
        cache_read_tokens: 3,
        output_tokens: 4,
        thinking_tokens: 5,
        web_searches: 6,
        cost: Some(Money::from_nanos(7)),
    }
}

fn native() -> NativeFields {
    let pair = |name: &str| vec![(name.to_owned(), r#"{"a":1}"#.to_owned())];
    NativeFields {
        stop_reason: Some("pause_turn".to_owned()),
        message: pair("container"),
        beside: pair("context_management"),
        usage: pair("cache_creation"),
    }
}

fn server_block(tool: ServerTool) -> TurnEvent {
    TurnEvent::ServerBlock(ServerBlock {
        json: "{}".to_owned(),
        tool,
    })
}

fn finished(reason: FinishReason) -> TurnEvent {
    TurnEvent::Finished(Finish {
        reason,
        stop_sequence: Some("###".to_owned()),
        usage: usage(),
        native: native(),
    })
}

fn call(tool: CalledTool) -> ServerTool {
    ServerTool::Call {
        id: "srv-1".to_owned(),
        tool,
    }
}

/// Returns an event of each kind, in an order that no model produces.
fn all_events() -> Vec<TurnEvent> {
    let text = str::to_owned;
    vec![
        TurnEvent::Started {
            model: text("claude-m"),
            usage: usage(),
            native: native(),
        },
        TurnEvent::Thinking(text("hm")),
        TurnEvent::ThinkingSignature(text("c2ln")),
        TurnEvent::ThinkingRedacted(text("cmVk")),
        TurnEvent::Text(text("Grüße \"\n\u{0}")),
        TurnEvent::ToolCall {
            id: text("call-1"),
            name: text("find"),
            caller: Some(text("{}")),
        },
        TurnEvent::ToolInput(text("{")),
        server_block(call(CalledTool::Search)),
        server_block(call(CalledTool::Code)),
        server_block(call(CalledTool::Mcp {
            server: text("s"),
            tool: text("t"),
        })),
        server_block(ServerTool::Result {
            id: text("srv-1"),
            outcome: ServerToolOutcome {
                is_failed: true,
                texts: vec![text("https://example.com")],
            },
        }),
        server_block(ServerTool::Other),
        TurnEvent::BlockDelta(BlockDelta {
            json: text("{}"),
            input: Some(text("{")),
        }),
        TurnEvent::Citation(Citation {
            json: text("{}"),
            url: Some(text("https://example.com")),
            title: None,
        }),
        TurnEvent::NextText,
        finished(FinishReason::Stop),
    ]
}

fn answer(events: Vec<TurnEvent>) -> CachedAnswer {
    CachedAnswer {
        project: "p".into(),
        events: events.into(),
        ends_at: None,
    }
}

#[test]
fn stored_answer_of_all_events_reads_back_as_it_was() {
    let bytes = encode_answer("k", &answer(all_events())).unwrap();
    assert_eq!(decode_answer("k", "p", &bytes), Some(all_events()));
}

#[test]
fn stored_answer_of_another_key_or_project_is_not_used() {
    let bytes = encode_answer("k", &answer(all_events())).unwrap();
    assert_eq!(decode_answer("other", "p", &bytes), None);
    assert_eq!(decode_answer("k", "other", &bytes), None);
}

#[test]
fn damaged_or_incomplete_stored_answer_is_not_used() {
    let bytes = encode_answer("k", &answer(all_events())).unwrap();
    for length in 0..bytes.len() {
        assert_eq!(decode_answer("k", "p", &bytes[..length]), None, "{length}");
    }
    let later_version = [[2].as_slice(), &bytes[1..]].concat();
    assert_eq!(decode_answer("k", "p", &later_version), None);
    let text = TurnEvent::Text("a".to_owned());
    for events in [
        vec![],
        vec![text.clone()],
        vec![finished(FinishReason::Stop), text],
        vec![finished(FinishReason::Stop), finished(FinishReason::Stop)],
        vec![finished(FinishReason::ToolCalls)],
        vec![finished(FinishReason::ContentFilter)],
        vec![finished(FinishReason::Paused)],
    ] {
        let bytes = encode_answer("k", &answer(events.clone())).unwrap();
        assert_eq!(decode_answer("k", "p", &bytes), None, "{events:?}");
    }
}

/// Fixture: what the first version has written.
#[test]
fn stored_answer_of_the_first_version_is_read() {
    let usage = r#"{"input":1,"cache_write":0,"cache_read":0,"output":2,"thinking":0,"web_searches":0,"cost_nanos":null}"#;
    let native = r#"{"stop_reason":null,"message":[],"beside":[],"usage":[]}"#;
    let started = format!(r#"{{"started":{{"model":"m","usage":{usage},"native":{native}}}}}"#);
    let finished = format!(
        r#"{{"finished":{{"reason":"stop","stop_sequence":null,"usage":{usage},"native":{native}}}}}"#
    );
    let events = format!(r#"[{started},{{"text":"Hi"}},"next_text",{finished}]"#);
    let json = format!(r#"{{"key":"k","project":"p","events":{events}}}"#);
    let bytes = [b"\x01".as_slice(), json.as_bytes()].concat();
    let used = Usage {
        input_tokens: 1,
        output_tokens: 2,
        ..Usage::default()
    };
    let events = vec![
        TurnEvent::started("m", used),
        TurnEvent::Text("Hi".to_owned()),
        TurnEvent::NextText,
        TurnEvent::Finished(Finish::new(FinishReason::Stop, used)),
    ];
    assert_eq!(decode_answer("k", "p", &bytes), Some(events.clone()));
    assert_eq!(encode_answer("k", &answer(events)), Some(bytes));
}
