use super::{Aftermath, Transcript};
use crate::claude::protocol::parse;
use crate::claude::testing::turn;
use crate::conversations::Errand;
use crate::domain::Caller;
use crate::domain::FinishReason;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

fn errand(history: &[Message], prompt: Vec<Part>) -> Errand {
    let turn = crate::domain::Turn { history: history.to_vec(), prompt, ..turn("q") };
    Errand::new(&Caller::named("a"), turn)
}

fn stream(event: &str) -> String {
    format!(r#"{{"type":"stream_event","event":{event}}}"#)
}

fn call(id: &str, input: &str) -> [String; 2] {
    let input = serde_json::to_string(input).unwrap();
    [
        stream(&format!(
            r#"{{"type":"content_block_start","content_block":{{"type":"tool_use","id":"{id}","name":"look"}}}}"#
        )),
        stream(&format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"input_json_delta","partial_json":{input}}}}}"#
        )),
    ]
}

/// A transcript whose prompt `q` was answered by calls of `look`.
fn called(calls: &[(&str, &str)]) -> Transcript {
    let asked = errand(&[], vec![Part::text("q")]);
    let mut transcript = Transcript::new(&asked);
    transcript.begin(&asked, "u1");
    for line in calls.iter().flat_map(|(id, input)| call(id, input)) {
        transcript.translator.accept(parse(line.as_bytes()).unwrap());
    }
    transcript
}

fn result(id: &str, text: &str) -> Part {
    let parts = if text.is_empty() { vec![] } else { vec![Part::text(text)] };
    Part::ToolResult(ToolResult { id: id.to_owned(), parts, is_error: false })
}

/// What the client sends after the calls `1` and `2`.
fn follow_up(prompt: Vec<Part>) -> Errand {
    let look = |id: &str| {
        let input = r#"{"a": 1}"#.to_owned();
        Part::ToolUse(ToolUse { id: id.to_owned(), name: "look".to_owned(), input })
    };
    let answer = Message { role: Role::Assistant, parts: vec![look("1"), look("2")] };
    errand(&[Message { role: Role::User, parts: vec![Part::text("q")] }, answer], prompt)
}

fn parked() -> Transcript {
    let mut transcript = called(&[("1", r#"{"a":1}"#), ("2", r#"{"a":1}"#)]);
    assert_eq!(transcript.finish(FinishReason::ToolCalls, |_| true), Aftermath::Parked);
    transcript
}

#[test]
fn calls_are_waited_for_by_their_ids() {
    let both = || vec![result("1", "x"), result("2", "y")];
    assert!(parked().awaits(&follow_up(both())));
    assert!(parked().awaits(&follow_up(vec![result("2", "y"), result("1", "x")])));
    assert!(!parked().awaits(&follow_up(vec![result("1", "x")])));
    assert!(!parked().awaits(&follow_up(vec![result("1", "x"), result("3", "y")])));
    let mut with_words = both();
    with_words.push(Part::text("and hurry"));
    assert!(!parked().awaits(&follow_up(with_words)));
    assert!(!parked().awaits(&errand(&[], both())), "another conversation");
}

#[test]
fn results_that_the_cli_would_change_are_replayed() {
    let awaits = |second| parked().awaits(&follow_up(vec![result("1", "x"), second]));
    assert!(!awaits(result("2", "")));
    assert!(!awaits(result("2", &"x".repeat(50_000))));
    let failed = ToolResult { id: "2".to_owned(), parts: vec![Part::text("no")], is_error: true };
    assert!(!awaits(Part::ToolResult(failed)));
}

#[test]
fn a_call_that_the_cli_would_answer_itself_is_not_waited_for() {
    let mut unknown = called(&[("1", "{}")]);
    assert_eq!(unknown.finish(FinishReason::ToolCalls, |_| false), Aftermath::Cut);
    let mut broken = called(&[("1", r#"{"a":"#)]);
    assert_eq!(broken.finish(FinishReason::ToolCalls, |_| true), Aftermath::Cut);
}

#[test]
fn only_whole_answers_can_be_gone_on_with() {
    let answered = |reason| {
        let mut transcript = called(&[("1", "{}")]);
        transcript.finish(reason, |_| true)
    };
    assert_eq!(answered(FinishReason::Stop), Aftermath::Whole);
    assert_eq!(answered(FinishReason::Length), Aftermath::Cut);
    assert_eq!(answered(FinishReason::ContentFilter), Aftermath::Cut);
    assert_eq!(called(&[]).finish(FinishReason::Stop, |_| true), Aftermath::Cut, "nothing was said");
}

#[test]
fn results_are_no_place_to_cut_at() {
    let mut transcript = parked();
    let next = follow_up(vec![result("1", "x"), result("2", "y")]);
    transcript.resume(&next);
    assert_eq!((transcript.memory.len(), transcript.memory.cut_at(2)), (3, None));
    assert_eq!(transcript.memory.cut_at(0), Some("u1"));
    assert!(transcript.translator.is_running());
}
