//! The content blocks of an answer, and their bounds: `max_tokens` and `stop_sequences`.

use serde_json::{Value, json};

const EMPTY_INPUT: &str = "{}";
/// Characters in each piece of a tool's input, at most.
const INPUT_PIECE_CHARS: usize = 12;
/// Thinking blocks carry a signature which clients hand back unread.
pub(crate) const SIGNATURE: &str = "c3RhbmQtaW4gc2lnbmF0dXJl";

/// A block before its bounds, with its text or its input.
pub(crate) type Part = (Kind, String);

/// A content block, cut into the pieces which its deltas carry. Each piece is a token.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub kind: Kind,
    pub pieces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Thinking,
    /// With the deltas which follow the text.
    Text(Vec<Value>),
    ToolUse {
        id: String,
        name: String,
    },
    /// A call which the API runs itself, as it opens: with an empty input.
    ServerCall(Value),
    /// The result of such a call, or its error. It is sent as it is.
    ServerResult(Value),
    /// A scripted block, which is sent as it is.
    Other(Value),
}

/// Why an answer ends, and by which stop sequence.
pub(crate) type Stop = (&'static str, Option<String>);

impl Block {
    /// The block without its content, as a stream begins it.
    pub fn opening(&self) -> Value {
        match &self.kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::Text(deltas) if citations(deltas).next().is_some() => {
                json!({"type": "text", "text": "", "citations": []})
            }
            Kind::Text(_) => json!({"type": "text", "text": ""}),
            Kind::ToolUse { id, name } => tool_use("tool_use", id, name, &json!({})),
            Kind::ServerCall(block) | Kind::ServerResult(block) | Kind::Other(block) => {
                block.clone()
            }
        }
    }

    /// The block as it stands when the answer is complete.
    pub fn whole(&self) -> Value {
        let content = self.pieces.concat();
        match &self.kind {
            Kind::Thinking => {
                json!({"type": "thinking", "thinking": content, "signature": SIGNATURE})
            }
            Kind::Text(deltas) => {
                let mut text = json!({"type": "text", "text": content});
                let citations: Vec<_> = citations(deltas).collect();
                if !citations.is_empty() {
                    text["citations"] = json!(citations);
                }
                text
            }
            Kind::ToolUse { id, name } => tool_use("tool_use", id, name, &input(&content)),
            Kind::ServerCall(opening) => {
                let mut block = opening.clone();
                block["input"] = input(&content);
                block
            }
            Kind::ServerResult(block) | Kind::Other(block) => block.clone(),
        }
    }

    /// The delta which carries a piece.
    pub fn delta(&self, piece: usize) -> Value {
        let piece = &self.pieces[piece];
        match self.kind {
            Kind::Thinking => json!({"type": "thinking_delta", "thinking": piece}),
            Kind::ToolUse { .. } | Kind::ServerCall(_) => {
                json!({"type": "input_json_delta", "partial_json": piece})
            }
            Kind::Text(_) | Kind::ServerResult(_) | Kind::Other(_) => {
                json!({"type": "text_delta", "text": piece})
            }
        }
    }

    /// The deltas which come before the pieces, as the real API sends them.
    pub fn extras(&self) -> &[Value] {
        match &self.kind {
            Kind::Text(deltas) => deltas,
            _ => &[],
        }
    }
}

impl Kind {
    /// Whether it is a call, whose input is streamed.
    pub fn has_input(&self) -> bool {
        matches!(self, Self::ToolUse { .. } | Self::ServerCall(_))
    }

    fn pieces(&self, content: &str) -> Vec<String> {
        if self.has_input() {
            input_pieces(content)
        } else {
            words(content)
        }
    }

    /// Whether it makes a block without any piece, where there is `room` for more tokens.
    fn stands_alone(&self, room: usize) -> bool {
        match self {
            Self::Thinking | Self::ServerCall(_) => false,
            Self::Text(deltas) => !deltas.is_empty(),
            // A call without input has no piece, but is a call.
            Self::ToolUse { .. } => room > 0,
            Self::ServerResult(_) | Self::Other(_) => true,
        }
    }
}

fn tool_use(kind: &str, id: &str, name: &str, input: &Value) -> Value {
    json!({"type": kind, "id": id, "name": name, "input": input})
}

/// The input of a call as a value. One which `max_tokens` has cut is no JSON any more.
fn input(content: &str) -> Value {
    serde_json::from_str(content).unwrap_or_else(|_| json!({}))
}

/// What the deltas of a text cite.
fn citations(deltas: &[Value]) -> impl Iterator<Item = &Value> {
    deltas
        .iter()
        .filter(|delta| delta["type"] == "citations_delta")
        .map(|delta| &delta["citation"])
}

/// Cuts the parts at the first stop sequence in a text and at `max_tokens` pieces. An empty text without deltas makes no block.
pub(crate) fn bounded(
    parts: impl Iterator<Item = Part>,
    sequences: &[&str],
    max_tokens: usize,
) -> (Vec<Block>, Stop) {
    let mut blocks = Vec::new();
    let mut room = max_tokens;
    let mut stop = ("end_turn", None);
    for (mut kind, mut content) in parts {
        let cut = matches!(kind, Kind::Text(_))
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
            Kind::ToolUse { .. } => stop = ("tool_use", None),
            // The answer ends within the text.
            Kind::Text(deltas) if is_over || cut.is_some() => deltas.clear(),
            _ => {}
        }
        if !pieces.is_empty() || kind.stands_alone(room) {
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

/// Where the earliest stop sequence begins in `text`; of several at one place, the first listed.
fn stop_match<'a>(text: &str, sequences: &[&'a str]) -> Option<(usize, &'a str)> {
    let matches = sequences.iter().filter(|sequence| !sequence.is_empty());
    matches
        .filter_map(|sequence| Some((text.find(sequence)?, *sequence)))
        .min_by_key(|(at, _)| *at)
}

/// Cuts `text` before the space of each word; the spaces at its end stay with the last one.
fn words(text: &str) -> Vec<String> {
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

/// Cuts a tool's input into at least two pieces. The real API has none for an empty object.
fn input_pieces(input: &str) -> Vec<String> {
    if input == EMPTY_INPUT {
        return Vec::new();
    }
    let chars: Vec<char> = input.chars().collect();
    let size = chars.len().div_ceil(3).clamp(1, INPUT_PIECE_CHARS);
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
        let (blocks, stop) = bounded(
            iter::once((Kind::Text(Vec::new()), content.to_owned())),
            sequences,
            max_tokens,
        );
        (
            blocks.into_iter().flat_map(|block| block.pieces).collect(),
            stop,
        )
    }

    #[test]
    fn words_join_to_the_same_text() {
        for content in [
            "",
            " ",
            "a",
            " a",
            "a ",
            "a  b\n\nc \n",
            "größer als ö\u{a0}x",
        ] {
            assert_eq!(words(content).concat(), content);
        }
        assert_eq!(words("a  b\n"), ["a", "  b\n"]);
    }

    #[test]
    fn stop_sequences_match_across_words_and_the_earliest_wins() {
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
    fn max_tokens_cuts_at_words_and_comes_before_a_later_stop() {
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
        let tool = Kind::ToolUse {
            id: "t".into(),
            name: "n".into(),
        };
        let parts = [
            (Kind::Thinking, "x y"),
            (Kind::Text(Vec::new()), "z"),
            (tool, "{\"a\":1}"),
        ];
        let parts = parts.map(|(kind, content)| (kind, content.to_owned()));
        let (blocks, stop) = bounded(parts.clone().into_iter(), &[], 4);
        assert_eq!(
            (blocks.len(), blocks[2].pieces.len(), stop.0),
            (3, 1, "max_tokens")
        );
        assert_eq!(bounded(parts.into_iter(), &[], 99).1.0, "tool_use");
    }
}
