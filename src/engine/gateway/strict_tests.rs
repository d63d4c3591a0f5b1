//! Valid and invalid arguments of strict tools.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::domain::ToolChoice;

/// Time limit of one check, far above its duration on a loaded machine.
const MAX_CHECK_TIME: Duration = Duration::from_secs(20);

const COUNT: &str = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1},"to":{"enum":["a","b"]}},
    "required":["n"],"additionalProperties":false}"#;

fn tool(name: &str, schema: &str, strict: bool) -> Tool {
    Tool {
        name: name.to_owned(),
        description: None,
        schema: schema.to_owned(),
        strict,
    }
}

/// Checks an answer that ended for `reason` after these calls, as (tool, arguments).
fn check_calls_at(
    reason: FinishReason,
    tools: &[Tool],
    calls: &[(&str, &str)],
) -> Result<(), String> {
    let mut strict = ToolArgumentCheck::new(&Tools {
        list: tools.to_vec(),
        choice: ToolChoice::Auto,
        parallel: true,
        ..Tools::default()
    });
    for (name, arguments) in calls {
        strict.record(&TurnEvent::Text("words".to_owned()));
        strict.record(&TurnEvent::tool_call("1", (*name).to_owned()));
        // In pieces, as they come.
        for piece in arguments.split_inclusive(':') {
            strict.record(&TurnEvent::ToolInput(piece.to_owned()));
        }
    }
    strict.check(reason).map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Upstream);
        failure.message
    })
}

fn check_calls(tools: &[Tool], calls: &[(&str, &str)]) -> Result<(), String> {
    check_calls_at(FinishReason::ToolCalls, tools, calls)
}

#[test]
fn invalid_arguments_fail_without_being_quoted() {
    let tools = [tool("count", COUNT, true)];
    for (arguments, expected) in [
        (r#"{"n":"secret"}"#, "`/properties/n/type` is not met"),
        (r#"{"n":0}"#, "`/properties/n/minimum` is not met"),
        (
            r#"{"n":1,"to":"secret"}"#,
            "`/properties/to/enum` is not met",
        ),
        (r#"{"to":"a"}"#, "`/required` is not met"),
        (
            r#"{"n":1,"secret":2}"#,
            "`/additionalProperties` is not met",
        ),
        ("", "`/required` is not met"),
        ("[1]", "`/type` is not met"),
        (r#"{"n":1"#, "it is no JSON"),
    ] {
        let message = check_calls(&tools, &[("count", arguments)]).unwrap_err();
        assert!(message.contains(expected), "{arguments}: {message}");
        assert!(
            !message.contains("secret") && message.contains("`count`"),
            "{message}"
        );
    }
    assert_eq!(
        check_calls(&tools, &[("count", r#"{"n":1,"to":"b"}"#)]),
        Ok(())
    );
}

#[test]
fn every_call_of_a_strict_tool_is_checked() {
    let tools = [tool("count", COUNT, true), tool("loose", COUNT, false)];
    let good = ("count", r#"{"n":1}"#);
    let bad = ("count", "{}");
    assert_eq!(
        check_calls(&tools, &[good, ("loose", "{}"), ("unknown", "x"), good]),
        Ok(())
    );
    assert!(check_calls(&tools, &[bad, good]).is_err());
    assert!(check_calls(&tools, &[good, ("loose", "{}"), bad]).is_err());
    assert_eq!(check_calls(&tools, &[]), Ok(()));
}

#[test]
fn cut_off_call_is_not_checked() {
    let tools = [tool("count", COUNT, true)];
    assert_eq!(
        check_calls_at(FinishReason::Length, &tools, &[("count", r#"{"n":"#)]),
        Ok(())
    );
    assert!(
        check_calls_at(
            FinishReason::Length,
            &tools,
            &[("count", "{}"), ("count", r#"{"n":"#)]
        )
        .is_err()
    );
    assert_eq!(check_calls_at(FinishReason::Stop, &tools, &[]), Ok(()));
}

#[test]
fn uncompilable_schema_accepts_everything() {
    for schema in [
        "no JSON",
        r#"{"type":"nonsense"}"#,
        r#"{"properties":{"n":{"$ref":"https://example.com/schema.json"}}}"#,
        r#"{"properties":{"n":{"$ref":"file:///etc/passwd"}}}"#,
        r##"{"properties":{"n":{"$ref":"#/$defs/gone"}}}"##,
        r#"{"properties":{"n":{"pattern":"("}}}"#,
    ] {
        assert_eq!(
            check_calls(&[tool("odd", schema, true)], &[("odd", r#"{"n":"x"}"#)]),
            Ok(()),
            "{schema}"
        );
    }
}

#[test]
fn hostile_schemas_are_checked_in_bounded_time() {
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}}"##,
        r#"{"properties":{"n":{"pattern":"^(?=a)(a+)+$"}}}"#,
    ] {
        // On a thread of its own, so that a check without an end fails instead of hanging.
        let (sender, checked) = mpsc::channel();
        thread::spawn(move || {
            let arguments = format!(r#"{{"n":"{}!"}}"#, "a".repeat(64));
            let _ = check_calls(&[tool("odd", schema, true)], &[("odd", &arguments)]);
            sender.send(())
        });
        assert_eq!(checked.recv_timeout(MAX_CHECK_TIME), Ok(()), "{schema}");
    }
}
