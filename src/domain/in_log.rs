//! Texts of clients in the log.

use std::fmt;

/// The number of characters of a client's text that a line of the log has.
const MOST_CHARACTERS: usize = 200;

/// A text that a client has chosen, such as a name or a path, as it stands in the log: no longer than a line should be.
#[derive(Debug, Clone, Copy)]
pub struct InLog<'a>(pub &'a str);

impl fmt::Display for InLog<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MOST_CHARACTERS) {
            None => formatter.write_str(self.0),
            Some((end, _)) => write!(formatter, "{}…", &self.0[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let [whole, long] = [200, 201].map(|count| "ä".repeat(count));
        assert_eq!(InLog(&whole).to_string(), whole);
        assert_eq!(InLog(&long).to_string(), format!("{whole}…"));
        assert_eq!(InLog("").to_string(), "");
    }
}
