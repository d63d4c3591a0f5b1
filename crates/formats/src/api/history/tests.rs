//! Repair of broken conversations.

use super::*;
use crate::api::request_schema::Policy;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

const RULES: DraftRules = DraftRules {
    field: "messages",
    merges: false,
    is_paused: |_| false,
};

fn call(id: &str) -> Part {
    Part::ToolUse(ToolUse {
        id: id.into(),
        name: "look".into(),
        input: "{}".into(),
    })
}

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult(ToolResult {
        id: id.into(),
        parts: vec![Part::text(text)],
        is_error: false,
    })
}

/// Builds a draft from messages, each given as `u` or `a` and its parts.
fn draft(messages: &[(char, &[Part])], rules: DraftRules) -> HistoryDraft {
    let mut draft = HistoryDraft::new(rules);
    for (number, (role, parts)) in messages.iter().enumerate() {
        let role = if *role == 'u' {
            Role::User
        } else {
            Role::Assistant
        };
        let path = |index| format!("messages[{number}].content[{index}]");
        let pieces = parts
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, part)| DraftPart {
                part,
                path: path(index),
            });
        draft.add_message(
            role,
            format!("messages[{number}].content"),
            pieces.collect(),
        );
    }
    draft
}

fn words(part: &Part) -> String {
    let inner = |parts: &[Part]| parts.iter().map(words).collect::<Vec<_>>().join(" ");
    match part {
        Part::Continue => "GO ON".into(),
        Part::Instruction(text) => format!("[{text}]"),
        Part::Text(text) => text.clone(),
        Part::ToolUse(call) => format!(
            "{}?{}",
            call.id,
            if call.input == "{}" { "" } else { &call.input }
        ),
        Part::ToolResult(result) if result.is_error => format!("{}!error", result.id),
        Part::ToolResult(result) => format!("{}!{}", result.id, inner(&result.parts)),
        Part::Native(block) => block.json.clone(),
        _ => unreachable!(),
    }
}

/// Returns the repaired conversation, and the names of the repairs. Checks that the strict policy
/// rejects it if, and only if, there are any.
fn repaired(messages: &[(char, &[Part])]) -> (String, Vec<&'static str>) {
    let finish = |policy| {
        let mut ignored = RemarkCollector::new(policy);
        let conversation = draft(messages, RULES).finish(|| None, &mut ignored);
        (conversation, ignored.into_remarks().repaired)
    };
    let (conversation, names) = finish(Policy::Lenient);
    assert_eq!(finish(Policy::Strict).0.is_ok(), names.is_empty());
    (render(&conversation.unwrap()), names)
}

fn render(conversation: &RepairedConversation) -> String {
    let line = |role: char, parts: &[Part]| {
        format!(
            "{role}: {}",
            parts.iter().map(words).collect::<Vec<_>>().join(", ")
        )
    };
    let role = |role| if role == Role::User { 'u' } else { 'a' };
    let history = conversation
        .history
        .iter()
        .map(|message| line(role(message.role), &message.parts));
    history
        .chain([line('u', &conversation.prompt)])
        .collect::<Vec<_>>()
        .join(" | ")
}

fn text(text: &str) -> Part {
    Part::text(text)
}

#[test]
fn valid_conversation_is_not_changed() {
    let results = [result("b", "2"), result("a", "1"), text("well?")];
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call("a"), call("b")]),
        ('u', &results),
    ]);
    assert_eq!(conversation, "u: hi | a: a?, b? | u: b!2, a!1 | u: well?");
    assert!(names.is_empty());
}

#[test]
fn calls_without_results_get_an_error_result() {
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call("a"), call("b")]),
        ('u', &[result("a", "1"), text("x")]),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        (
            "u: hi | a: a?, b? | u: a!1, b!error | u: x",
            &["calls_without_results"][..]
        )
    );
    let (conversation, _) = repaired(&[('u', &[text("hi")]), ('a', &[call("a")])]);
    assert_eq!(conversation, "u: hi | a: a? | u: a!error");
}

#[test]
fn results_without_calls_become_user_text() {
    let (conversation, names) = repaired(&[('u', &[result("a", "1"), text("x")])]);
    assert_eq!(
        (conversation.as_str(), &*names),
        (
            "u: Result of the tool call `a`:, 1, x",
            &["results_without_calls"][..]
        )
    );
    let twice = [result("a", "1"), result("a", "2")];
    let (conversation, names) =
        repaired(&[('u', &[text("hi")]), ('a', &[call("a")]), ('u', &twice)]);
    assert_eq!(
        conversation,
        "u: hi | a: a? | u: a!1 | u: Result of the tool call `a`:, 2"
    );
    assert_eq!(names, ["results_without_calls"]);
}

#[test]
fn results_are_moved_behind_their_calls() {
    let hi = ('u', &[text("hi")][..]);
    let ask = ('a', &[call("a")][..]);
    for rest in [
        &[ask, ('u', &[text("x"), result("a", "1")][..])][..],
        &[ask, ('u', &[text("x")]), ('u', &[result("a", "1")])],
        &[('u', &[result("a", "1")]), ask, ('u', &[text("x")])],
    ] {
        let (conversation, names) = repaired(&[&[hi], rest].concat());
        assert_eq!(
            (conversation.as_str(), &*names),
            ("u: hi | a: a? | u: a!1 | u: x", &["results_moved"][..])
        );
    }
    let (conversation, names) = repaired(&[
        hi,
        ask,
        ('a', &[call("b")]),
        ('u', &[result("a", "1"), result("b", "2")]),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        (
            "u: hi | a: a? | u: a!1 | a: b? | u: b!2",
            &["results_moved"][..]
        )
    );
}

#[test]
fn calls_with_the_same_id_get_unique_ids() {
    let results = [result("a", "1"), result("a", "2")];
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call("a"), call("a")]),
        ('u', &results),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        (
            "u: hi | a: a?, call-1? | u: a!1, call-1!2",
            &["call_ids"][..]
        )
    );
    let round = [('a', &[call("a")][..]), ('u', &[result("a", "1")])];
    let (conversation, names) =
        repaired(&[&[('u', &[text("hi")][..])][..], &round, &round].concat());
    assert_eq!(
        conversation,
        "u: hi | a: a? | u: a!1 | a: call-1? | u: call-1!1"
    );
    assert!(names.is_empty(), "clients count anew");
}

#[test]
fn arguments_that_are_not_an_object_are_wrapped() {
    let broken = |input: &str| {
        Part::ToolUse(ToolUse {
            id: "a".into(),
            name: "f".into(),
            input: input.into(),
        })
    };
    for (input, expected) in [
        ("[1]", r#"{"arguments":"[1]"}"#),
        ("{\"x", r#"{"arguments":"{\"x"}"#),
        ("null", r#"{"arguments":"null"}"#),
    ] {
        let (conversation, names) = repaired(&[
            ('u', &[text("hi")]),
            ('a', &[broken(input)]),
            ('u', &[result("a", "1")]),
        ]);
        assert_eq!(
            (conversation, &*names),
            (
                format!("u: hi | a: a?{expected} | u: a!1"),
                &["arguments"][..]
            )
        );
    }
}

#[test]
fn empty_messages_are_removed() {
    let (conversation, names) = repaired(&[
        ('u', &[]),
        ('a', &[]),
        ('u', &[text(" ")]),
        ('u', &[text("x")]),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        ("u: x", &["empty_messages"][..])
    );
    let (_, names) = repaired(&[('u', &[text("hi")]), ('a', &[]), ('u', &[text("x")])]);
    assert!(
        names.is_empty(),
        "an answer may be cut off before its first word"
    );
}

#[test]
fn assistant_message_at_the_end_is_continued() {
    let (conversation, names) = repaired(&[('u', &[text("hi")]), ('a', &[text("The")])]);
    assert_eq!(
        (conversation.as_str(), &*names),
        ("u: hi | a: The | u: GO ON", &[][..])
    );
    let rules = DraftRules {
        is_paused: |part| *part == Part::text("The"),
        ..RULES
    };
    let paused = draft(&[('u', &[text("hi")]), ('a', &[text("The")])], rules);
    let conversation = paused
        .finish(|| None, &mut RemarkCollector::new(Policy::Strict))
        .unwrap();
    assert_eq!(render(&conversation), "u: hi | a: The | u: ");
}

#[test]
fn instructions_between_call_and_result_move_behind_the_result() {
    let instruction = Part::Instruction("Be brief.".to_owned());
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call("a")]),
        ('u', &[instruction]),
        ('u', &[result("a", "1")]),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        ("u: hi | a: a? | u: a!1 | u: [Be brief.]", &[][..])
    );
}

#[test]
fn instructions_without_messages_become_the_user_message() {
    let nothing = || draft(&[('u', &[])], RULES);
    let mut ignored = RemarkCollector::new(Policy::Lenient);
    let conversation = nothing()
        .finish(|| Some("Sing.".into()), &mut ignored)
        .unwrap();
    assert_eq!(render(&conversation), "u: Sing.");
    assert_eq!(
        ignored.into_remarks().repaired,
        ["empty_messages", "no_user_message"]
    );
    let error = nothing()
        .finish(|| None, &mut RemarkCollector::new(Policy::Lenient))
        .unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
}

#[test]
fn native_blocks_are_repaired_too() {
    let native = |json: &str, role| {
        Part::Native(NativeBlock {
            json: json.into(),
            role,
        })
    };
    let call = || {
        native(
            r#"{"id":"a","input":{"z":1.0,"b":2}}"#,
            NativeRole::Call("a".into()),
        )
    };
    let result = |content: &str| {
        native(
            &format!(r#"{{"tool_use_id":"a","content":{content}}}"#),
            NativeRole::Result("a".into()),
        )
    };
    let results = [
        result("\"1\""),
        result("\"2\""),
        result(r#"[{"z":1,"a":2}],"is_error":true"#),
    ];
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call(), call()]),
        ('u', &results),
    ]);
    let expected = r#"u: hi | a: {"id":"a","input":{"z":1.0,"b":2}}, {"id":"call-1","input":{"z":1.0,"b":2}} | u: {"tool_use_id":"a","content":"1"}, {"content":"2","tool_use_id":"call-1"} | u: Error of the tool call `a`:, {"z":1,"a":2}"#;
    assert_eq!(conversation, expected);
    assert_eq!(names, ["call_ids", "results_without_calls"]);
}

#[test]
fn invalid_characters_in_arguments_are_replaced() {
    let call = |input: &str| {
        Part::ToolUse(ToolUse {
            id: "a".into(),
            name: "look".into(),
            input: input.into(),
        })
    };
    let (conversation, names) = repaired(&[
        ('u', &[text("hi")]),
        ('a', &[call(r#"{"b":"x\ud83d\u0000"}"#)]),
        ('u', &[result("a", "1")]),
    ]);
    assert_eq!(
        (conversation.as_str(), &*names),
        (
            r#"u: hi | a: a?{"b":"x\ufffd"} | u: a!1"#,
            &["characters"][..]
        )
    );
}

#[test]
fn history_results_in_reverse_order_are_matched() {
    const CALLS: usize = 10_000;
    let calls: Vec<_> = (0..CALLS)
        .map(|number| call(&format!("c{}", number % 5000)))
        .collect();
    let results: Vec<_> = (0..CALLS)
        .rev()
        .map(|number| result(&format!("c{}", number % 5000), "x"))
        .collect();
    let draft = draft(
        &[('u', &[text("hi")]), ('a', &calls), ('u', &results)],
        RULES,
    );
    let conversation = draft
        .finish(|| None, &mut RemarkCollector::new(Policy::Lenient))
        .unwrap();
    assert_eq!(conversation.prompt.len(), CALLS);
}
