//! Output of a chat.

use std::borrow::Cow;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;

use crate::cli::print;

/// Standard output, a terminal or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    is_terminal: bool,
}

impl Screen {
    /// Creates the output to stdout.
    pub(super) fn of_stdout() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Shows `text` at once. On a terminal without control characters, by which an answer could
    /// change its title or what it shows.
    pub(super) fn show(self, text: &str) -> io::Result<()> {
        let shown = if self.is_terminal {
            without_controls(text)
        } else {
            Cow::Borrowed(text)
        };
        print(shown.as_bytes()).map_err(io::Error::other)
    }

    /// Writes a line to stderr if that is a terminal.
    pub(super) fn note(line: &str) {
        let mut stderr = io::stderr();
        if stderr.is_terminal() {
            // A terminal that is gone needs no note.
            let _ = writeln!(stderr, "{line}");
        }
    }
}

fn without_controls(text: &str) -> Cow<'_, str> {
    let is_shown = |character: &char| !character.is_control() || "\n\t".contains(*character);
    if text.chars().all(|character| is_shown(&character)) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(is_shown).collect()
}

#[cfg(test)]
mod tests {
    use super::without_controls;

    #[test]
    fn answer_cannot_control_the_terminal() {
        assert_eq!(without_controls("a\tb\nc ü 日本"), "a\tb\nc ü 日本");
        assert_eq!(
            without_controls("\u{1b}]0;title\u{7}x\r\u{9b}2J"),
            "]0;titlex2J"
        );
    }
}
