//! Control characters in text that others wrote, which would change what a terminal shows.

use std::borrow::Cow;

/// Returns `text` without control characters other than line breaks and tabs, and without those that
/// change the direction of writing, which show text in another order.
pub(super) fn without_control_characters(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().filter(|character| is_shown(*character));
    Cow::Owned(shown.collect())
}

/// Returns `text` on one line, without what could change the terminal.
pub(super) fn one_line(text: &str) -> String {
    without_control_characters(text).replace(['\n', '\t'], " ")
}

/// True if a terminal shows the character where it stands.
fn is_shown(character: char) -> bool {
    match character {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        _ => !character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_control_characters;

    #[test]
    fn text_cannot_control_the_terminal() {
        assert_eq!(
            without_control_characters("a\tb\nc ü 日本"),
            "a\tb\nc ü 日本"
        );
        assert_eq!(
            without_control_characters("\u{1b}]0;title\u{7}x\r\u{9b}2J"),
            "]0;titlex2J"
        );
        assert_eq!(
            without_control_characters("a\u{202e}b\u{2066}c\u{2069}\u{200f}"),
            "abc\u{200f}"
        );
    }
}
