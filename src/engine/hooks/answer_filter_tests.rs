use proptest::prelude::*;

use super::super::config_check::compile_patterns;
use super::*;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::Usage;

fn filter(replacement: Option<&str>) -> Arc<Filter> {
    let words = ["secret project".to_owned(), "word".to_owned()];
    let patterns = [r"\b\d{16}\b".to_owned()];
    let (regex, longest) = compile_patterns(&words, &patterns).unwrap();
    Arc::new(Filter {
        patterns: regex,
        longest_match: longest,
        replacement: replacement.map(str::to_owned),
        max_characters: None,
        roles: Vec::new(),
    })
}

fn finished() -> TurnEvent {
    TurnEvent::Finished(Finish::new(FinishReason::Stop, Usage::default()))
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.to_owned())
}

fn input(text: &str) -> TurnEvent {
    TurnEvent::ToolInput(text.to_owned())
}

/// Passes the events and an end through a filter that redacts.
fn filtered(events: Vec<TurnEvent>) -> Vec<TurnEvent> {
    let mut filter = AnswerFilter::new(filter(Some("***")));
    let mut passed = Vec::new();
    for event in events.into_iter().chain([finished()]) {
        passed.extend(filter.push(event).unwrap());
    }
    assert_eq!(passed.pop(), Some(finished()));
    passed
}

fn texts(events: &[TurnEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        TurnEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn text_is_redacted_across_pieces_and_across_what_is_between_them() {
    let passed = filtered(vec![
        text("A sec"),
        text("ret "),
        TurnEvent::NextText,
        text("project and a wo"),
        TurnEvent::NextText,
        text("rld."),
    ]);
    assert_eq!(texts(&passed), "A *** and a world.");
    let before = passed
        .iter()
        .position(|event| *event == TurnEvent::NextText);
    let before = before.unwrap();
    assert_eq!(texts(&passed[..before]), "A ***");
    let last = passed
        .iter()
        .rposition(|event| *event == TurnEvent::NextText);
    assert_eq!(texts(&passed[last.unwrap()..]), "rld.");
}

#[test]
fn tool_inputs_are_redacted_behind_their_escapes_and_stay_json() {
    let passed = filtered(vec![
        TurnEvent::tool_call("c1", "look"),
        input(r#"{"q":"a \u00"#),
        input(r#"77ord","n":1234567890123456}"#),
        TurnEvent::tool_call("c2", "look"),
        input(r#"{"q":"fine"}"#),
    ]);
    let expected = [
        TurnEvent::tool_call("c1", "look"),
        input(r#"{"q":"a ***","n":"***"}"#),
        TurnEvent::tool_call("c2", "look"),
        input(r#"{"q":"fine"}"#),
    ];
    assert_eq!(passed, expected);
}

#[test]
fn tool_input_that_is_cut_off_does_not_leak() {
    let passed = filtered(vec![
        TurnEvent::tool_call("c1", "look"),
        input(r#"{"q":"a \u0077ord and"#),
    ]);
    assert_eq!(passed[1], input(r#"{"q":"a *** and"#));
}

#[test]
fn blocks_of_server_tools_and_citations_are_redacted() {
    let block = ServerBlock {
        json: r#"{"type":"server_tool_use","id":"word"}"#.to_owned(),
        tool: ServerTool::Other,
    };
    let delta = |piece: &str| {
        let json = serde_json::json!({"type": "input_json_delta", "partial_json": piece});
        TurnEvent::BlockDelta(BlockDelta {
            json: json.to_string(),
            input: Some(piece.to_owned()),
        })
    };
    let citation = Citation {
        json: r#"{"citation":{"cited_text":"a word"}}"#.to_owned(),
        url: None,
        title: Some("word".to_owned()),
    };
    let passed = filtered(vec![
        TurnEvent::ServerBlock(block.clone()),
        delta(r#"{"query":"wo"#),
        delta(r#"rd"}"#),
        TurnEvent::Citation(citation),
    ]);
    let expected = [
        TurnEvent::ServerBlock(block),
        delta(r#"{"query":"***"}"#),
        TurnEvent::Citation(Citation {
            json: r#"{"citation":{"cited_text":"a ***"}}"#.to_owned(),
            url: None,
            title: Some("***".to_owned()),
        }),
    ];
    assert_eq!(passed, expected);
}

#[test]
fn fetched_text_is_redacted_and_fetched_files_are_kept() {
    let fetched = |kind: &str, data: &str| {
        let source = serde_json::json!({"type": kind, "media_type": "x/word", "data": data});
        let content = serde_json::json!({"type": "document", "source": source});
        let json = serde_json::json!({"type": "web_fetch_tool_result", "content": content});
        TurnEvent::ServerBlock(ServerBlock {
            json: json.to_string(),
            tool: ServerTool::Other,
        })
    };
    let passed = filtered(vec![fetched("text", "A word."), fetched("base64", "word")]);
    assert_eq!(
        passed,
        [fetched("text", "A ***."), fetched("base64", "word")]
    );
}

#[test]
fn text_before_a_tool_call_stays_before_it() {
    let passed = filtered(vec![
        text("A wo"),
        TurnEvent::tool_call("c1", "look"),
        input(r#"{"q":1}"#),
    ]);
    let call = TurnEvent::tool_call("c1", "look");
    assert_eq!(passed, [text("A wo"), call, input(r#"{"q":1}"#)]);
}

#[test]
fn changed_thinking_loses_its_signature() {
    let seal = || TurnEvent::ThinkingSignature("seal".to_owned());
    let think = |text: &str| TurnEvent::Thinking(text.to_owned());
    let thoughts = |events: &[TurnEvent]| -> String {
        let texts = events.iter().filter_map(|event| match event {
            TurnEvent::Thinking(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    };
    let passed = filtered(vec![
        think("A wo"),
        think("rd."),
        seal(),
        think("Fine."),
        seal(),
    ]);
    assert_eq!(thoughts(&passed), "A ***.Fine.");
    assert_eq!(passed.iter().filter(|event| **event == seal()).count(), 1);
}

#[test]
fn refusing_filter_stops_the_answer_before_the_word_leaves() {
    let mut refusing = AnswerFilter::new(filter(None));
    let mut passed = Vec::new();
    let events = [text("It is a wo"), text("rd of many"), finished()];
    let mut refused = None;
    for event in events {
        match refusing.push(event) {
            Ok(events) => passed.extend(events),
            Err(refusal) => refused = Some(refusal),
        }
    }
    assert_eq!(refused, Some(FilterRefusal::Found));
    assert!(!texts(&passed).contains("wo"), "{passed:?}");
}

proptest! {
    #[test]
    fn text_and_events_keep_their_order_and_nothing_is_lost(
        pieces in prop::collection::vec("[a-d ]{0,6}|word|secret |project", 0..12),
    ) {
        let mut events = Vec::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            events.push(text(piece));
            events.push(TurnEvent::NextText);
        }
        let marks = events.len() / 2;
        let passed = filtered(events);
        let whole = pieces.concat();
        let expected = filter(Some("***")).rewrite(&whole).unwrap().unwrap_or(whole);
        prop_assert_eq!(texts(&passed), expected);
        let passed_marks = passed.iter().filter(|event| **event == TurnEvent::NextText);
        prop_assert_eq!(passed_marks.count(), marks);
    }
}
