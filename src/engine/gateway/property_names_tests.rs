use super::*;
use crate::domain::Message;
use crate::domain::Role;
use crate::domain::ToolUse;
use crate::engine::gateway::testing::turn;

const SCHEMA: &str = r#"{"type":"object","properties":{"$filter":{"type":"string"},"plain":{}}}"#;

fn tool(strict: bool) -> Tool {
    Tool {
        name: "query".to_owned(),
        description: None,
        schema: SCHEMA.to_owned(),
        strict,
    }
}

fn with_tool(tool: Tool) -> Turn {
    let mut turn = turn("m");
    turn.tools.list = vec![tool];
    let input = r#"{"$filter": "a", "plain": {"$filter": 1}}"#.to_owned();
    let call = ToolUse {
        id: "c".to_owned(),
        name: "query".to_owned(),
        input,
    };
    turn.history = vec![Message {
        role: Role::Assistant,
        parts: vec![Part::ToolUse(call)],
    }];
    turn
}

#[test]
fn tool_properties_are_renamed_also_in_earlier_calls() {
    let mut turn = with_tool(tool(false));
    PropertyNames::apply(&mut turn);
    assert!(
        turn.tools.list[0].schema.contains(r#""_filter":{"#),
        "{}",
        turn.tools.list[0].schema
    );
    let Part::ToolUse(call) = &turn.history[0].parts[0] else {
        panic!("no call")
    };
    assert_eq!(call.input, r#"{"_filter": "a", "plain": {"$filter": 1}}"#);

    let mut turn = with_tool(tool(false));
    turn.native.tools = Some(vec![format!(
        r#"{{"name":"query","input_schema":{SCHEMA},"cache_control":{{}}}}"#
    )]);
    let mut names = PropertyNames::apply(&mut turn);
    let written = &turn.native.tools.unwrap()[0];
    assert!(
        written.contains(r#""_filter":{"#) && written.ends_with(r#""cache_control":{}}"#),
        "{written}"
    );
    assert_eq!(
        call_input(&mut names, &[r#"{"_filter":1}"#]),
        r#"{"$filter":1}"#
    );

    let mut turn = with_tool(tool(true));
    let before = turn.clone();
    PropertyNames::apply(&mut turn);
    assert_eq!(
        turn, before,
        "the schema of a strict tool is made elsewhere"
    );
}

/// Returns the input of a call that comes in `pieces`, as the caller receives it.
fn call_input(names: &mut PropertyNames, pieces: &[&str]) -> String {
    let call = [TurnEvent::tool_call("c", "query")].into_iter();
    let inputs = pieces
        .iter()
        .map(|piece| TurnEvent::ToolInput((*piece).to_owned()));
    let other = [
        TurnEvent::tool_call("d", "other"),
        TurnEvent::ToolInput(r#"{"_filter":2}"#.to_owned()),
    ];
    let events = call
        .chain(inputs)
        .chain(other)
        .flat_map(|event| names.restore(event));
    let inputs: Vec<String> = events
        .filter_map(|event| match event {
            TurnEvent::ToolInput(piece) => Some(piece),
            _ => None,
        })
        .collect();
    assert_eq!(
        inputs.last().unwrap(),
        r#"{"_filter":2}"#,
        "another tool keeps its names"
    );
    assert!(inputs.iter().all(|piece| !piece.is_empty()));
    inputs[..inputs.len() - 1].concat()
}

#[test]
fn restored_names_do_not_depend_on_the_chunking() {
    let sent = r#"{ "_filter" : "_filter\\\" , \"_filter\": \u00e9", "plain": [{"_filter": 1}, "_filter"], "x":{"_filter":{}},"_f\u0069lter":true}"#;
    let wanted = r#"{ "$filter" : "_filter\\\" , \"_filter\": \u00e9", "plain": [{"_filter": 1}, "_filter"], "x":{"_filter":{}},"$filter":true}"#;
    let mut names = PropertyNames::apply(&mut with_tool(tool(false)));
    for first in 0..=sent.len() {
        for second in [first, first + 1, first + 7] {
            let second = second.min(sent.len());
            let pieces = [&sent[..first], &sent[first..second], &sent[second..]];
            let pieces: Vec<_> = pieces
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .collect();
            assert_eq!(call_input(&mut names, &pieces), wanted, "{pieces:?}");
        }
    }
    assert_eq!(
        call_input(&mut names, &[r#"{"_filter":1,"_fil"#]),
        r#"{"$filter":1,"_fil"#,
        "cut off"
    );
}
