use super::Memory;
use crate::conversations::Trail;
use crate::domain::Caller;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::ToolUse;
use crate::domain::Tools;
use crate::domain::Turn;

fn says(role: Role, texts: &[&str]) -> Message {
    Message { role, parts: texts.iter().map(|&text| Part::text(text)).collect() }
}

fn user(text: &str) -> Message {
    says(Role::User, &[text])
}

fn answer(text: &str) -> Message {
    says(Role::Assistant, &[text])
}

fn trail_of(caller: &str, model: &str, history: &[Message]) -> Trail {
    let turn = Turn {
        project: None,
        model: ModelName::new(model),
        system: vec![],
        tools: Tools::default(),
        history: history.to_vec(),
        prompt: vec![Part::text("next")],
        sampling: Sampling::default(),
    };
    Trail::of(&Caller::named(caller), &turn)
}

fn trail(history: &[Message]) -> Trail {
    trail_of("a", "m", history)
}

/// A memory in which every message of the user can be cut off.
fn memory(history: &[Message]) -> Memory {
    let mut memory = Memory::new(&trail(&[]));
    for (index, message) in history.iter().enumerate() {
        memory.push(message, (message.role == Role::User).then(|| index.to_string()));
    }
    memory
}

fn talk() -> [Message; 4] {
    [user("one"), answer("1"), user("two"), answer("2")]
}

#[test]
fn the_same_history_is_found_and_a_longer_one_goes_on() {
    assert!(memory(&talk()).is(&trail(&talk())));
    assert_eq!(memory(&talk()).usable(&trail(&talk())), 4);
    assert_eq!(memory(&talk()[..2]).usable(&trail(&talk())), 2);
}

#[test]
fn a_branch_is_cut_at_a_message_of_the_user() {
    let edited = [user("one"), answer("1"), user("TWO"), answer("2")];
    assert_eq!(memory(&talk()).usable(&trail(&edited)), 2);
    assert_eq!(memory(&talk()).cut_at(2), Some("2"));
    let other_answer = [user("one"), answer("other")];
    assert_eq!(memory(&talk()).usable(&trail(&other_answer)), 0, "an answer cannot be cut off alone");
    assert_eq!(memory(&talk()).usable(&trail(&talk()[..3])), 2, "nor kept without what it answers");
}

#[test]
fn an_answer_asked_for_again_is_cut_off_with_its_prompt() {
    assert_eq!(memory(&talk()).usable(&trail(&talk()[..2])), 2);
    assert_eq!(memory(&talk()).usable(&trail(&[])), 0);
}

#[test]
fn nothing_matches_across_callers_and_models() {
    assert_eq!(memory(&talk()).usable(&trail_of("b", "m", &talk())), 0);
    assert_eq!(memory(&talk()).usable(&trail_of("a", "n", &talk())), 0);
}

#[test]
fn parts_of_the_user_are_told_apart_and_those_of_an_answer_are_not() {
    let whole = [says(Role::User, &["ab"])];
    let parts = [says(Role::User, &["a", "b"])];
    assert_eq!(memory(&whole).usable(&trail(&parts)), 0);
    let answered = |texts: &[&str]| [user("q"), says(Role::Assistant, texts)];
    assert_eq!(memory(&answered(&["a", "b"])).usable(&trail(&answered(&["ab"]))), 2);
}

#[test]
fn a_call_is_known_again_however_its_input_is_written() {
    let call = |id: &str, input: &str| {
        let call = ToolUse { id: id.to_owned(), name: "look".to_owned(), input: input.to_owned() };
        [user("q"), Message { role: Role::Assistant, parts: vec![Part::ToolUse(call)] }]
    };
    let held = memory(&call("1", r#"{"a":1,"b":2}"#));
    assert_eq!(held.usable(&trail(&call("1", r#"{ "b": 2, "a": 1 }"#))), 2);
    assert_eq!(held.usable(&trail(&call("1", r#"{"a":1,"b":3}"#))), 0);
    assert_eq!(held.usable(&trail(&call("2", r#"{"a":1,"b":2}"#))), 0);
}
