//! Client texts in log lines.

use std::fmt;

const MAX_CHARACTERS: usize = 200;

/// Text chosen by a client, such as a name or a path, truncated for a log line.
#[derive(Debug, Clone, Copy)]
pub struct LogText<'a>(pub &'a str);

impl fmt::Display for LogText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_CHARACTERS) {
            None => formatter.write_str(self.0),
            Some((end, _)) => write!(formatter, "{}…", &self.0[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_text_is_truncated_at_a_character_boundary() {
        let [whole, long] = [200, 201].map(|count| "ä".repeat(count));
        assert_eq!(LogText(&whole).to_string(), whole);
        assert_eq!(LogText(&long).to_string(), format!("{whole}…"));
        assert_eq!(LogText("").to_string(), "");
    }
}
