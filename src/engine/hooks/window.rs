//! Filtering of a text that arrives in pieces: text is held back only as far as a match could
//! reach.
//!
//! The released pieces joined are exactly the filtered whole text, whatever the received pieces
//! were.

use super::filter::Filter;
use super::filter::FilterRefusal;

/// Bytes of released text that are kept for assertions that look back, such as `\b`.
const CONTEXT_BYTES: usize = 16;
/// Bytes beyond the longest match that assertions at its end may look at.
const LOOKAHEAD_BYTES: usize = 8;

/// Text of which a part is held back.
#[derive(Debug, Default)]
pub(super) struct TextWindow {
    /// Some released text as context, and the text that is held back.
    text: String,
    /// Position where the text that is held back begins.
    held: usize,
}

/// Piece that is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReleasedPiece {
    /// Number of bytes of the original text that it stands for.
    pub(super) original_bytes: usize,
    pub(super) text: String,
    /// True if it replaces a match.
    pub(super) is_replacement: bool,
}

impl TextWindow {
    /// True if text is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.held < self.text.len()
    }

    /// Adds a piece, and returns what can be released.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn push(
        &mut self,
        filter: &Filter,
        piece: &str,
    ) -> Result<Vec<ReleasedPiece>, FilterRefusal> {
        self.text.push_str(piece);
        let decided = match (&filter.patterns, filter.longest_match) {
            (None, _) => self.text.len(),
            // Without a limit nothing is decided before the end.
            (_, None) => self.held,
            (_, Some(longest)) => {
                let reach = longest.saturating_add(LOOKAHEAD_BYTES);
                let limit = self.text.len().saturating_sub(reach);
                self.text.floor_char_boundary(limit).max(self.held)
            }
        };
        self.release(filter, decided, false)
    }

    /// Returns the rest at the end of the text, and begins a new text.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn finish(&mut self, filter: &Filter) -> Result<Vec<ReleasedPiece>, FilterRefusal> {
        let end = self.text.len();
        let released = self.release(filter, end, true);
        self.text.clear();
        self.held = 0;
        released
    }

    /// Releases the text before `decided`. A match that begins before or at it is final, because
    /// all text that it could reach is there.
    fn release(
        &mut self,
        filter: &Filter,
        decided: usize,
        is_end: bool,
    ) -> Result<Vec<ReleasedPiece>, FilterRefusal> {
        let mut released = Vec::new();
        let is_due = |start: usize| is_end || start <= decided;
        while decided > self.held || is_end {
            let found = filter.patterns.as_ref();
            let found = found.and_then(|patterns| patterns.find_at(&self.text, self.held));
            let Some(found) = found.filter(|found| is_due(found.start())) else {
                break;
            };
            let start = found.start();
            let end = found.end();
            let replacement = filter.replacement.as_deref().ok_or(FilterRefusal::Found)?;
            self.release_plain(start, &mut released);
            released.push(ReleasedPiece {
                original_bytes: end - start,
                text: replacement.to_owned(),
                is_replacement: true,
            });
            self.held = end;
        }
        self.release_plain(decided, &mut released);
        self.forget_context();
        Ok(released)
    }

    /// Releases the text up to `end` as it is.
    fn release_plain(&mut self, end: usize, released: &mut Vec<ReleasedPiece>) {
        if end > self.held {
            released.push(ReleasedPiece {
                original_bytes: end - self.held,
                text: self.text[self.held..end].to_owned(),
                is_replacement: false,
            });
            self.held = end;
        }
    }

    fn forget_context(&mut self) {
        // Something is always kept: at the very beginning of a text `^` would match.
        let surplus = self.held.saturating_sub(CONTEXT_BYTES);
        let surplus = self.text.floor_char_boundary(surplus);
        self.text.drain(..surplus);
        self.held -= surplus;
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
