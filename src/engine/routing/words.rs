//! Predicates on the words of a prompt.

/// True if `texts` together have fewer characters than `limit`, not counting surrounding white
/// space.
pub(super) fn is_short(texts: &[&str], limit: usize) -> bool {
    texts
        .iter()
        .flat_map(|text| text.trim().chars())
        .take(limit)
        .count()
        < limit
}

/// True if there are words and none has more than `longest` characters, not counting surrounding
/// punctuation.
pub(super) fn are_simple(texts: &[&str], longest: usize) -> bool {
    let is_mark = |character: char| !character.is_alphanumeric();
    let mut words = texts
        .iter()
        .flat_map(|text| text.split_whitespace())
        .map(|word| word.trim_matches(is_mark))
        .filter(|word| !word.is_empty())
        .peekable();
    words.peek().is_some() && words.all(|word| word.chars().take(longest + 1).count() <= longest)
}

/// Returns the first of `stems` that is the prefix of a word, ignoring ASCII case.
pub(super) fn first_hard_stem<'a>(texts: &[&str], stems: &'a [String]) -> Option<&'a str> {
    let mut words = texts
        .iter()
        .flat_map(|text| text.split(|character: char| !character.is_alphanumeric()));
    words.find_map(|word| {
        stems
            .iter()
            .find(|stem| begins_with(word, stem))
            .map(String::as_str)
    })
}

fn begins_with(word: &str, stem: &str) -> bool {
    word.get(..stem.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_short_counts_characters_not_bytes() {
        for (texts, short) in [
            (&["12345"][..], false),
            (&["1234"], true),
            (&[" 1234\n"], true),
            (&["äöüß"], true),
            (&["12", "345"], false),
        ] {
            assert_eq!(is_short(texts, 5), short, "{texts:?}");
        }
        assert!(!is_short(&[], 0));
    }

    #[test]
    fn words_are_simple_when_all_are_short() {
        for (texts, simple) in [
            (&["What is the time?"][..], true),
            (&["What is 2+2, \"roughly\"?"], true),
            (&["Say", "hello"], true),
            (&["electroencephalography"], false),
            (&["see https://example.com/a/b"], false),
            (&[""], false),
            (&["?!"], false),
            (&[], false),
        ] {
            assert_eq!(are_simple(texts, 12), simple, "{texts:?}");
        }
    }

    #[test]
    fn hard_word_is_found_by_its_prefix() {
        let stems = ["analy", "debug"].map(str::to_owned);
        for (text, found) in [
            ("Analyse this", Some("analy")),
            ("an ANALYSIS", Some("analy")),
            ("(debugging)", Some("debug")),
            ("re-debug it", Some("debug")),
            ("psychoanalysis", None),
            ("deb", None),
            ("日本語 debug", Some("debug")),
            ("é", None),
        ] {
            assert_eq!(first_hard_stem(&[text], &stems), found, "{text}");
        }
    }
}
