//! Content blocks of an answer, truncated by `max_tokens` and `stop_sequences`.

use serde_json::{Value, json};

const EMPTY_INPUT: &str = "{}";
/// Maximum number of characters in a piece of a tool's input.
const MAX_INPUT_PIECE_CHARS: usize = 12;
/// Signature of thinking blocks, which clients return unread.
pub(crate) const SIGNATURE: &str = "c3RhbmQtaW4gc2lnbmF0dXJl";

/// Block before truncation: its kind with its text or input.
pub(crate) type DraftBlock = (BlockKind, String);

/// Content block, split into the pieces that its deltas carry; each piece is one token.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub kind: BlockKind,
    pub pieces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BlockKind {
    Thinking,
    /// Text block with the deltas sent before its text.
    Text(Vec<Value>),
    ToolUse {
        id: String,
        name: String,
    },
    /// Opening block of a call that the API runs itself, with an empty input.
    ServerCall(Value),
    /// Result or error of such a call, sent unchanged.
    ServerResult(Value),
    /// Scripted block, sent unchanged.
    Other(Value),
}

/// Stop reason of an answer, and the stop sequence that matched.
pub(crate) type Stop = (&'static str, Option<String>);

impl Block {
    /// Returns the block without its content, for `content_block_start`.
    pub fn opening(&self) -> Value {
        match &self.kind {
            BlockKind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            BlockKind::Text(deltas) if citations_in(deltas).next().is_some() => {
                json!({"type": "text", "text": "", "citations": []})
            }
            BlockKind::Text(_) => json!({"type": "text", "text": ""}),
            BlockKind::ToolUse { id, name } => tool_use("tool_use", id, name, &json!({})),
            BlockKind::ServerCall(block)
            | BlockKind::ServerResult(block)
            | BlockKind::Other(block) => block.clone(),
        }
    }

    /// Returns the complete block.
    pub fn whole(&self) -> Value {
        let content = self.pieces.concat();
        match &self.kind {
            BlockKind::Thinking => {
                json!({"type": "thinking", "thinking": content, "signature": SIGNATURE})
            }
            BlockKind::Text(deltas) => {
                let mut text = json!({"type": "text", "text": content});
                let citations: Vec<_> = citations_in(deltas).collect();
                if !citations.is_empty() {
                    text["citations"] = json!(citations);
                }
                text
            }
            BlockKind::ToolUse { id, name } => {
                tool_use("tool_use", id, name, &parse_input(&content))
            }
            BlockKind::ServerCall(opening) => {
                let mut block = opening.clone();
                block["input"] = parse_input(&content);
                block
            }
            BlockKind::ServerResult(block) | BlockKind::Other(block) => block.clone(),
        }
    }

    /// Returns the delta that carries a piece.
    pub fn delta(&self, piece: usize) -> Value {
        let piece = &self.pieces[piece];
        match self.kind {
            BlockKind::Thinking => json!({"type": "thinking_delta", "thinking": piece}),
            BlockKind::ToolUse { .. } | BlockKind::ServerCall(_) => {
                json!({"type": "input_json_delta", "partial_json": piece})
            }
            BlockKind::Text(_) | BlockKind::ServerResult(_) | BlockKind::Other(_) => {
                json!({"type": "text_delta", "text": piece})
            }
        }
    }

    /// Returns the deltas sent before the pieces.
    pub fn leading_deltas(&self) -> &[Value] {
        match &self.kind {
            BlockKind::Text(deltas) => deltas,
            _ => &[],
        }
    }
}

impl BlockKind {
    /// True for a call, whose input is streamed.
    pub fn has_input(&self) -> bool {
        matches!(self, Self::ToolUse { .. } | Self::ServerCall(_))
    }

    fn pieces(&self, content: &str) -> Vec<String> {
        if self.has_input() {
            split_input(content)
        } else {
            split_words(content)
        }
    }

    /// True if the block is kept although it has no pieces, given `room` for more tokens.
    fn is_kept_without_pieces(&self, room: usize) -> bool {
        match self {
            Self::Thinking | Self::ServerCall(_) => false,
            Self::Text(deltas) => !deltas.is_empty(),
            // A call with an empty input has no pieces, but is sent.
            Self::ToolUse { .. } => room > 0,
            Self::ServerResult(_) | Self::Other(_) => true,
        }
    }
}

fn tool_use(kind: &str, id: &str, name: &str, input: &Value) -> Value {
    json!({"type": kind, "id": id, "name": name, "input": input})
}

/// Parses the input of a call; an input truncated by `max_tokens` becomes `{}`.
fn parse_input(content: &str) -> Value {
    serde_json::from_str(content).unwrap_or_else(|_| json!({}))
}

/// Returns the citations among the deltas of a text.
fn citations_in(deltas: &[Value]) -> impl Iterator<Item = &Value> {
    deltas
        .iter()
        .filter(|delta| delta["type"] == "citations_delta")
        .map(|delta| &delta["citation"])
}

/// Truncates the blocks at the first stop sequence in a text and at `max_tokens` pieces.
///
/// An empty text without deltas yields no block.
pub(crate) fn truncate_blocks(
    parts: impl Iterator<Item = DraftBlock>,
    sequences: &[&str],
    max_tokens: usize,
) -> (Vec<Block>, Stop) {
    let mut blocks = Vec::new();
    let mut room = max_tokens;
    let mut stop = ("end_turn", None);
    for (mut kind, mut content) in parts {
        let cut = matches!(kind, BlockKind::Text(_))
            .then(|| stop_match(&content, sequences))
            .flatten();
        if let Some((at, _)) = cut {
            content.truncate(at);
        }
        let mut pieces = kind.pieces(&content);
        let is_over = pieces.len() > room;
        pieces.truncate(room);
        room -= pieces.len();
        match &mut kind {
            BlockKind::ToolUse { .. } => stop = ("tool_use", None),
            // The answer ends within this text, so its citations are dropped.
            BlockKind::Text(deltas) if is_over || cut.is_some() => deltas.clear(),
            _ => {}
        }
        if !pieces.is_empty() || kind.is_kept_without_pieces(room) {
            blocks.push(Block { kind, pieces });
        }
        if is_over {
            return (blocks, ("max_tokens", None));
        }
        if let Some((_, sequence)) = cut {
            return (blocks, ("stop_sequence", Some(sequence.to_owned())));
        }
    }
    (blocks, stop)
}

/// Finds the earliest stop sequence in `text`; of several at the same position, the first listed.
fn stop_match<'a>(text: &str, sequences: &[&'a str]) -> Option<(usize, &'a str)> {
    let matches = sequences.iter().filter(|sequence| !sequence.is_empty());
    matches
        .filter_map(|sequence| Some((text.find(sequence)?, *sequence)))
        .min_by_key(|(at, _)| *at)
}

/// Splits `text` before the space of each word; trailing spaces stay with the last word.
fn split_words(text: &str) -> Vec<String> {
    let body = text.trim_end();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut was_space = true;
    for (index, c) in body.char_indices() {
        if c.is_whitespace() && !was_space {
            pieces.push(body[start..index].to_owned());
            start = index;
        }
        was_space = c.is_whitespace();
    }
    if start < text.len() {
        pieces.push(text[start..].to_owned());
    }
    pieces
}

/// Splits a tool's input into pieces; like the real API, an empty object has none.
fn split_input(input: &str) -> Vec<String> {
    if input == EMPTY_INPUT {
        return Vec::new();
    }
    let chars: Vec<char> = input.chars().collect();
    let size = chars.len().div_ceil(3).clamp(1, MAX_INPUT_PIECE_CHARS);
    chars
        .chunks(size)
        .map(|chunk| chunk.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn text(content: &str, sequences: &[&str], max_tokens: usize) -> (String, Stop) {
        let (blocks, stop) = truncate_blocks(
            iter::once((BlockKind::Text(Vec::new()), content.to_owned())),
            sequences,
            max_tokens,
        );
        (
            blocks.into_iter().flat_map(|block| block.pieces).collect(),
            stop,
        )
    }

    #[test]
    fn split_words_join_to_the_same_text() {
        for content in [
            "",
            " ",
            "a",
            " a",
            "a ",
            "a  b\n\nc \n",
            "größer als ö\u{a0}x",
        ] {
            assert_eq!(split_words(content).concat(), content);
        }
        assert_eq!(split_words("a  b\n"), ["a", "  b\n"]);
    }

    #[test]
    fn earliest_stop_sequence_wins_and_matches_across_words() {
        assert_eq!(
            text("one two three", &["ee", "o th"], 99),
            ("one tw".into(), ("stop_sequence", Some("o th".into())))
        );
        assert_eq!(
            text("END now", &["END"], 99),
            (String::new(), ("stop_sequence", Some("END".into())))
        );
        assert_eq!(
            text("one two", &["", "three"], 99),
            ("one two".into(), ("end_turn", None))
        );
    }

    #[test]
    fn max_tokens_truncates_at_words_before_a_later_stop_sequence() {
        assert_eq!(text("a b c", &[], 2), ("a b".into(), ("max_tokens", None)));
        assert_eq!(text("a b c", &[], 3), ("a b c".into(), ("end_turn", None)));
        assert_eq!(
            text("a b c d", &["d"], 2),
            ("a b".into(), ("max_tokens", None))
        );
        assert_eq!(
            text("a b c d", &["c"], 2),
            ("a b ".into(), ("stop_sequence", Some("c".into())))
        );
    }

    #[test]
    fn max_tokens_counts_over_all_blocks() {
        let tool = BlockKind::ToolUse {
            id: "t".into(),
            name: "n".into(),
        };
        let parts = [
            (BlockKind::Thinking, "x y"),
            (BlockKind::Text(Vec::new()), "z"),
            (tool, "{\"a\":1}"),
        ];
        let parts = parts.map(|(kind, content)| (kind, content.to_owned()));
        let (blocks, stop) = truncate_blocks(parts.clone().into_iter(), &[], 4);
        assert_eq!(
            (blocks.len(), blocks[2].pieces.len(), stop.0),
            (3, 1, "max_tokens")
        );
        assert_eq!(truncate_blocks(parts.into_iter(), &[], 99).1.0, "tool_use");
    }
}
