//! Control characters in text that others wrote, which would change what a terminal shows.

use std::borrow::Cow;

/// Returns `text` without control characters other than line breaks and tabs.
pub(super) fn without_control_characters(text: &str) -> Cow<'_, str> {
    let is_shown = |character: &char| !character.is_control() || "\n\t".contains(*character);
    if text.chars().all(|character| is_shown(&character)) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(is_shown).collect()
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
    }
}
