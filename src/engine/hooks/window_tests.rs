use proptest::prelude::*;

use super::super::config_check::compile_patterns;
use super::*;

fn filter(words: &[&str], patterns: &[&str]) -> Filter {
    let owned = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let (regex, longest) = compile_patterns(&owned(words), &owned(patterns)).unwrap();
    Filter {
        patterns: regex,
        longest_match: longest,
        replacement: Some("<>".to_owned()),
        max_characters: None,
        roles: Vec::new(),
    }
}

/// Returns what is released for `pieces`, and the largest number of bytes held back after one.
fn windowed(filter: &Filter, pieces: &[&str]) -> (String, usize) {
    let mut window = TextWindow::default();
    let mut text = String::new();
    let mut most_held = 0;
    let mut taken = 0;
    let mut released = 0;
    for piece in pieces {
        taken += piece.len();
        for piece in window.push(filter, piece).unwrap() {
            released += piece.original_bytes;
            text.push_str(&piece.text);
        }
        most_held = most_held.max(taken - released);
    }
    for piece in window.finish(filter).unwrap() {
        released += piece.original_bytes;
        text.push_str(&piece.text);
    }
    assert_eq!(released, taken, "each byte is released once");
    (text, most_held)
}

#[test]
fn window_redacts_a_match_across_pieces_and_holds_back_no_more_than_it_needs() {
    let filter = filter(&["secret project"], &[]);
    let text = "This is the Secret \nproJect of the year, and the rest goes on and on and on.";
    let pieces: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (found, most_held) = windowed(&filter, &pieces);
    let expected = "This is the <> of the year, and the rest goes on and on and on.";
    assert_eq!(found, expected);
    let longest = filter.longest_match.unwrap();
    assert!(most_held <= longest + LOOKAHEAD_BYTES + 4, "{most_held}");
}

#[test]
fn window_of_a_refusing_filter_releases_nothing_of_the_match() {
    let filter = Filter {
        replacement: None,
        ..filter(&["forbidden"], &[])
    };
    let mut window = TextWindow::default();
    let mut released = String::new();
    for piece in ["some text, forbid", "den", " and more text behind it"] {
        match window.push(&filter, piece) {
            Ok(pieces) => released.extend(pieces.into_iter().map(|piece| piece.text)),
            Err(refusal) => {
                assert_eq!(refusal, FilterRefusal::Found);
                assert!(!released.contains("forb"), "{released}");
                return;
            }
        }
    }
    panic!("not refused: {released}");
}

proptest! {
    #[test]
    fn window_over_any_pieces_equals_the_filter_over_the_whole_text(
        pieces in prop::collection::vec("[ab \n.éß]{0,4}|ab ba|aab|b a", 0..12),
        which in 0_usize..8,
    ) {
        let patterns: [(&[&str], &[&str]); 8] = [
            (&["ab"], &[]),
            (&["ab", "b a"], &[]),
            (&[], &["a{1,3}b"]),
            (&[], &["ab|abb?a", "ba"]),
            (&[], &[r"\ba", r"b\b"]),
            (&[], &["^a", "b$"]),
            (&[], &["(?m)^a.{0,2}$"]),
            (&["éß"], &["[^a]{2}a"]),
        ];
        let (words, patterns) = patterns[which];
        let filter = filter(words, patterns);
        let whole = pieces.concat();
        let expected = filter.rewrite(&whole).unwrap().unwrap_or_else(|| whole.clone());
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(windowed(&filter, &pieces).0, expected);
        let mut unlimited = filter;
        unlimited.longest_match = None;
        let again = unlimited.rewrite(&whole).unwrap().unwrap_or(whole);
        prop_assert_eq!(windowed(&unlimited, &pieces).0, again);
    }
}
