use proptest::prelude::*;

use super::*;
use crate::domain::Usage;
use crate::engine::gateway::testing::turn;

fn filter_for(stops: &[String]) -> StopSequenceFilter {
    StopSequenceFilter {
        texts: stops.to_vec(),
        ..StopSequenceFilter::default()
    }
}

fn texts(stops: &[&str]) -> Vec<String> {
    stops.iter().map(|stop| (*stop).to_owned()).collect()
}

fn text(piece: &str) -> TurnEvent {
    TurnEvent::Text(piece.to_owned())
}

fn end() -> TurnEvent {
    TurnEvent::Finished(Finish::new(FinishReason::Stop, Usage::default()))
}

/// Returns the text that `pieces` come to, and the stop sequence that ended it.
fn filtered_text(
    stops: &mut StopSequenceFilter,
    pieces: impl IntoIterator<Item = String>,
) -> (String, Option<String>) {
    let mut words = String::new();
    for event in pieces.into_iter().map(TurnEvent::Text).chain([end()]) {
        for event in stops.filter(event, &UsageCounter::default()) {
            match event {
                TurnEvent::Text(piece) => words += &piece,
                TurnEvent::Finished(finish) => return (words, finish.stop_sequence),
                event => panic!("{event:?}"),
            }
        }
    }
    panic!("no end")
}

/// Reference implementation: searches each prefix of the whole text for a stop sequence at its end.
fn split(text: &str, stops: &[String]) -> (String, Option<String>) {
    let ends = text
        .char_indices()
        .map(|(start, character)| start + character.len_utf8());
    for end in ends {
        let met = stops
            .iter()
            .filter(|stop| text[..end].ends_with(stop.as_str()));
        if let Some(stop) = met.max_by_key(|stop| stop.len()) {
            return (text[..end - stop.len()].to_owned(), Some(stop.clone()));
        }
    }
    (text.to_owned(), None)
}

proptest! {
    #[test]
    fn end_does_not_depend_on_the_chunking(
        stops in proptest::collection::vec("[ \n\u{2003}é]{1,4}", 1..4),
        text in "[ab \n\u{2003}é]{0,40}",
        sizes in proptest::collection::vec(1_usize..6, 1..6),
    ) {
        let mut rest = text.chars();
        let pieces = sizes.iter().cycle().map(|size| rest.by_ref().take(*size).collect::<String>());
        let pieces: Vec<_> = pieces.take_while(|piece| !piece.is_empty()).collect();
        prop_assert_eq!(filtered_text(&mut filter_for(&stops), pieces), split(&text, &stops));
    }

    #[test]
    fn held_text_is_a_prefix_of_a_stop_sequence(
        stops in proptest::collection::vec("[ \n]{1,4}", 1..4), text in "[a \n]{0,20}",
    ) {
        let mut filter = filter_for(&stops);
        if split(&text, &stops).1.is_none() {
            filter.filter(TurnEvent::Text(text.clone()), &UsageCounter::default());
            let held = filter.held;
            prop_assert!(text.ends_with(&held));
            prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(&held)));
        }
    }
}

#[test]
fn answer_ends_before_the_stop_sequence() {
    for (stops, pieces, words, stop) in [
        (
            &["\n\n"][..],
            &["one\ntwo\n", "\nthree"][..],
            "one\ntwo",
            Some("\n\n"),
        ),
        (&["\n\n"], &["\n", "\n"], "", Some("\n\n")),
        (&["\n\n"], &["\n", "a\n"], "\na\n", None),
        (&["\n\n", "\n"], &["a\n\nb"], "a", Some("\n")),
        (&[" \n", "\n"], &["a ", "\nb"], "a", Some(" \n")),
        (&["\n"], &[], "", None),
    ] {
        let pieces = pieces.iter().map(|piece| (*piece).to_owned());
        let expected = (words.to_owned(), stop.map(str::to_owned));
        assert_eq!(
            filtered_text(&mut filter_for(&texts(stops)), pieces),
            expected
        );
    }
}

#[test]
fn only_refused_stop_sequences_are_taken_from_the_turn() {
    let mut turn = turn("m");
    turn.sampling.stop = texts(&["\n\n", "END", " ", "\u{1f}", "a b", "\t\u{2003}"]);
    let stops = StopSequenceFilter::take_from(&mut turn);
    assert_eq!(turn.sampling.stop, ["END", "a b"]);
    assert_eq!(stops.texts, ["\n\n", " ", "\u{1f}", "\t\u{2003}"]);
}

#[test]
fn other_events_pass_and_release_held_text() {
    let mut stops = filter_for(&texts(&["\n\n"]));
    let mut take = |event| stops.filter(event, &UsageCounter::default());
    let thought = TurnEvent::Thinking("a\n\nb".to_owned());
    let input = TurnEvent::ToolInput("{\n\n}".to_owned());
    let call = TurnEvent::tool_call("1", "look");
    assert_eq!(take(thought.clone()), [thought]);
    assert_eq!(take(text("a\n")), [text("a")]);
    assert_eq!(take(call.clone()), [text("\n"), call]);
    assert_eq!(take(input.clone()), [input]);
    assert_eq!(take(text("\n")), []);
    assert_eq!(take(end()), [text("\n"), end()]);
}

#[test]
fn enforced_end_carries_the_usage_so_far() {
    let mut tally = UsageCounter::default();
    let usage = Usage {
        input_tokens: 7,
        output_tokens: 1,
        ..Usage::default()
    };
    tally.record(&TurnEvent::started("m", usage));
    tally.record(&text("12345678\n"));
    let given = filter_for(&texts(&["\n"])).filter(text("12345678\n"), &tally);
    let [TurnEvent::Text(words), TurnEvent::Finished(finish)] = &*given else {
        panic!("{given:?}")
    };
    assert_eq!(
        (words.as_str(), finish.reason),
        ("12345678", FinishReason::Stop)
    );
    assert_eq!(
        finish.usage,
        Usage {
            output_tokens: 3,
            ..usage
        }
    );
}
