//! Output to people, on a terminal or not.

use std::borrow::Cow;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;

use super::control_characters::without_control_characters;
use super::print;

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
            without_control_characters(text)
        } else {
            Cow::Borrowed(text)
        };
        print(shown.as_bytes()).map_err(io::Error::other)
    }

    /// Writes a line to stderr, terminal or not.
    pub(super) fn tell(line: &str) {
        Self::ask(&format!("{line}\n"));
    }

    /// Writes a text to stderr without a line break, such as a question.
    pub(super) fn ask(text: &str) {
        let mut stderr = io::stderr();
        let text = without_control_characters(text);
        // A failed write is ignored: stderr may be closed.
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }

    /// Writes a line to stderr if that is a terminal.
    pub(super) fn note(line: &str) {
        let mut stderr = io::stderr();
        if stderr.is_terminal() {
            // A terminal that is gone needs no note.
            let _ = writeln!(stderr, "{}", without_control_characters(line));
        }
    }
}
