//! Events sent for an answer with a requested format, and their timing.

use super::*;
use crate::domain::ModelName;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Tool;
use crate::domain::Tools;
use crate::domain::Usage;

const LIMITED: &str = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"],"additionalProperties":false}"#;
const PLAIN: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#;
const OPEN: &str = r#"{"type":"object","additionalProperties":{"type":"integer"}}"#;

fn schema(json: &str, is_strict: bool) -> Format {
    Format::Schema(Schema {
        json: json.to_owned(),
        is_strict,
        is_native: false,
    })
}

fn turn(format: Format) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("m"),
        system: vec!["S".to_owned()],
        tools: Tools::default(),
        history: Vec::new(),
        prompt: Vec::new(),
        sampling: Sampling {
            format,
            ..Sampling::default()
        },
    }
}

fn form(format: Format) -> JsonAnswerCheck {
    JsonAnswerCheck::apply(&mut turn(format))
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.to_owned())
}

fn thinking() -> TurnEvent {
    TurnEvent::Thinking("t".to_owned())
}

fn finish(reason: FinishReason) -> Finish {
    Finish::new(reason, Usage::default())
}

/// Returns the events sent at each step, as text, and at the end.
fn filter_answer(
    form: &mut JsonAnswerCheck,
    events: &[TurnEvent],
    reason: FinishReason,
) -> (Vec<String>, String) {
    let words = |events: Vec<TurnEvent>| {
        let word = |event: TurnEvent| match event {
            TurnEvent::Text(text) => text,
            TurnEvent::Thinking(_) => "(t)".to_owned(),
            TurnEvent::ToolCall { .. } => "(call)".to_owned(),
            other => format!("{other:?}"),
        };
        events.into_iter().map(word).collect::<String>()
    };
    let steps = events
        .iter()
        .map(|event| words(form.filter(event.clone())))
        .collect();
    let end = form
        .finish(&finish(reason))
        .map_or_else(|failure| failure.message, words);
    (steps, end)
}

#[test]
fn supported_schema_is_enforced_and_streams() {
    for is_strict in [true, false] {
        let mut turn = turn(schema(PLAIN, is_strict));
        let mut form = JsonAnswerCheck::apply(&mut turn);
        let Format::Schema(bound) = &turn.sampling.format else {
            panic!("no schema")
        };
        assert_eq!((bound.json.as_str(), turn.system.len()), (PLAIN, 1));
        assert!(!form.may_repeat());
        let (steps, end) = filter_answer(
            &mut form,
            &[thinking(), text(r#"{"n":"x"}"#)],
            FinishReason::Stop,
        );
        assert_eq!(steps, ["(t)", r#"{"n":"x"}"#]);
        assert_eq!(
            end.contains("`/properties/n/type` is not met"),
            is_strict,
            "{end}"
        );
    }
}

#[test]
fn answer_for_strict_schema_with_limits_is_buffered() {
    let events = [thinking(), text(r#"{"n""#), text(":1}")];
    let mut strict = form(schema(LIMITED, true));
    let (steps, end) = filter_answer(&mut strict, &events, FinishReason::Stop);
    assert_eq!(
        (steps.concat().as_str(), end.as_str()),
        ("", r#"(t){"n":1}"#)
    );
    let mut bad = form(schema(LIMITED, true));
    let (_, end) = filter_answer(&mut bad, &[text(r#"{"n":0}"#)], FinishReason::Stop);
    assert!(
        end.contains("`/properties/n/minimum` is not met") && bad.may_repeat(),
        "{end}"
    );
    bad.reset();
    assert_eq!(
        filter_answer(&mut bad, &events, FinishReason::Stop).1,
        r#"(t){"n":1}"#
    );
    let (steps, _) = filter_answer(
        &mut form(schema(LIMITED, false)),
        &events,
        FinishReason::Stop,
    );
    assert_eq!(steps, ["(t)", r#"{"n""#, ":1}"], "it is no promise");
}

#[test]
fn unenforceable_schema_becomes_an_instruction() {
    let mut turn = turn(schema(OPEN, true));
    let mut instructed = JsonAnswerCheck::apply(&mut turn);
    assert_eq!(turn.sampling.format, Format::Text);
    assert!(
        turn.system[1].starts_with("Answer with one JSON object") && turn.system[1].ends_with(OPEN)
    );
    let (steps, end) = filter_answer(
        &mut instructed,
        &[text("So: {\"a\":"), text("1} ok?")],
        FinishReason::Stop,
    );
    assert_eq!((steps.concat().as_str(), end.as_str()), ("", r#"{"a":1}"#));
    let mut bad = JsonAnswerCheck::apply(&mut self::turn(schema(OPEN, true)));
    let (_, end) = filter_answer(&mut bad, &[text(r#"{"a":"x"}"#)], FinishReason::Stop);
    assert!(end.contains("does not match the requested schema"), "{end}");
    let mut list = form(schema(r##"{"type":"array","items":{"$ref":"#"}}"##, false));
    assert_eq!(
        filter_answer(&mut list, &[text("[[]]\n")], FinishReason::Stop).1,
        "[[]]\n"
    );
}

#[test]
fn object_is_streamed_without_the_surrounding_text() {
    let mut object = form(Format::JsonObject);
    let events = [
        thinking(),
        text("Here:\n```json\n{"),
        text("\n \"a\":"),
        text("1}\n```"),
        text("Bye."),
    ];
    let (steps, end) = filter_answer(&mut object, &events, FinishReason::Stop);
    assert_eq!(
        (steps, end.as_str()),
        (
            vec![
                "".into(),
                "".into(),
                "(t){\n \"a\":".into(),
                "1}".into(),
                "".into()
            ],
            ""
        )
    );
    for words in ["I cannot.", "", "[{}]"] {
        let mut none = form(Format::JsonObject);
        let (steps, end) = filter_answer(&mut none, &[thinking(), text(words)], FinishReason::Stop);
        assert!(
            steps.concat().is_empty()
                && end.contains("not the requested JSON")
                && none.may_repeat(),
            "{words}"
        );
    }
    let mut broken = form(Format::JsonObject);
    let (_, end) = filter_answer(&mut broken, &[text(r#"{"a": so}"#)], FinishReason::Stop);
    assert!(
        end.contains("not the requested JSON") && !broken.may_repeat(),
        "{end}"
    );
}

#[test]
fn tool_call_releases_the_held_text() {
    for format in [
        Format::JsonObject,
        schema(LIMITED, true),
        schema(OPEN, true),
    ] {
        let events = [
            text("Let me "),
            text("look."),
            TurnEvent::tool_call("1", "look"),
            text("x"),
        ];
        let (steps, end) =
            filter_answer(&mut form(format.clone()), &events, FinishReason::ToolCalls);
        assert_eq!(steps, ["", "", "Let me look.(call)", "x"], "{format:?}");
        assert_eq!(end, "");
    }
    let mut turn = turn(Format::JsonObject);
    turn.tools.runs_code = true;
    JsonAnswerCheck::apply(&mut turn);
    assert!(turn.system[1].starts_with("Unless you call a tool, answer with one"));
}

#[test]
fn incomplete_answer_is_sent_unchecked() {
    for reason in [
        FinishReason::Length,
        FinishReason::ContentFilter,
        FinishReason::Paused,
    ] {
        for format in [
            Format::JsonObject,
            schema(LIMITED, true),
            schema(OPEN, false),
        ] {
            let (_, end) = filter_answer(&mut form(format), &[thinking(), text("Sorry")], reason);
            assert_eq!(end, "(t)Sorry");
        }
    }
    let stopped = Finish {
        stop_sequence: Some("]".to_owned()),
        ..finish(FinishReason::Stop)
    };
    assert!(form(schema(PLAIN, true)).finish(&stopped).is_ok());
    assert!(
        form(Format::Text)
            .finish(&finish(FinishReason::Stop))
            .is_ok()
    );
}

#[test]
fn natively_written_schemas_are_unchanged() {
    let native = Schema {
        json: LIMITED.to_owned(),
        is_strict: false,
        is_native: true,
    };
    let mut turn = turn(Format::Schema(native.clone()));
    let look = Tool {
        name: "look".to_owned(),
        description: None,
        schema: LIMITED.to_owned(),
        strict: true,
    };
    turn.tools.list = vec![look];
    turn.native.tools = Some(vec!["{}".to_owned()]);
    let form = JsonAnswerCheck::apply(&mut turn);
    assert!(!form.may_repeat());
    assert_eq!(
        (turn.sampling.format, turn.tools.list[0].schema.as_str()),
        (Format::Schema(native), LIMITED)
    );
}

#[test]
fn strict_tools_get_bindable_schemas() {
    let tool = |json: &str| Tool {
        name: "a".to_owned(),
        description: None,
        schema: json.to_owned(),
        strict: true,
    };
    let mut turn = turn(Format::Text);
    turn.tools.list = vec![tool(LIMITED), tool(OPEN), tool(PLAIN)];
    JsonAnswerCheck::apply(&mut turn);
    let [limited, open, plain] = &turn.tools.list[..] else {
        panic!("not three")
    };
    assert!(
        limited.strict && limited.schema.contains("Limits: at least 1."),
        "{limited:?}"
    );
    assert_eq!((open.strict, open.schema.as_str()), (false, OPEN));
    assert_eq!((plain.strict, plain.schema.as_str()), (true, PLAIN));
}

#[test]
fn max_runs_is_two_for_answers_that_may_repeat() {
    for (format, expected) in [
        (Format::Text, 1),
        (Format::JsonObject, 2),
        (schema(PLAIN, true), 1),
        (schema(LIMITED, true), 2),
        (schema(LIMITED, false), 1),
        (schema(OPEN, false), 2),
    ] {
        assert_eq!(max_runs(&format), expected, "{format:?}");
    }
}
