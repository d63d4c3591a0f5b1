//! Composes the answer to a conversation, within its `max_tokens` and `stop_sequences`.

use std::{iter, time::Duration};

use serde_json::{Value, json};

use crate::{
    conversation::Conversation,
    directives::{Directives, Fault, Text, ToolCall},
    schema,
};

/// Characters of the user's text which the demo answer quotes.
const QUOTED_CHARS: usize = 200;
const EMPTY_INPUT: &str = "{}";
/// Characters in each piece of a tool's input, at most.
const INPUT_PIECE_CHARS: usize = 12;
/// Thinking blocks carry a signature which clients hand back unread.
pub(crate) const SIGNATURE: &str = "c3RhbmQtaW4gc2lnbmF0dXJl";

/// A whole answer, ready to be sent at once or in deltas.
pub(crate) struct Reply {
    id: String,
    model: String,
    pub blocks: Vec<Block>,
    stop_reason: String,
    stop_sequence: Option<String>,
    usage: Usage,
    pub first_delta_delay: Duration,
    pub gap: Duration,
    pub fault: Option<Fault>,
    pub fault_message: String,
}

/// A content block, cut into the pieces which its deltas carry. Each piece is a token.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub kind: Kind,
    pub pieces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Thinking,
    Text,
    ToolUse { id: String, name: String },
}

struct Usage {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

/// Why an answer ends, and by which stop sequence.
type Stop = (&'static str, Option<String>);

impl Reply {
    /// Composes what `directives` ask for; `source` is the text they were found in.
    pub fn compose(
        conversation: &Conversation<'_>,
        directives: &Directives,
        source: &str,
        sequence: u64,
    ) -> Self {
        let calls = tool_calls(conversation, directives);
        let tools = calls.iter().enumerate().map(|(index, call)| {
            let id = format!("toolu_standin{sequence:08}{index:02}");
            (Kind::ToolUse { id, name: conversation.offered_name(&call.name).to_owned() }, call.input.clone())
        });
        let thinking = directives.thinking.iter().map(|text| (Kind::Thinking, text.clone()));
        let text = answer_text(conversation, directives, source, !calls.is_empty());
        let parts = thinking.chain(iter::once((Kind::Text, text))).chain(tools);
        let (blocks, (stop_reason, stop_sequence)) =
            bounded(parts, &conversation.stop_sequences(), conversation.max_tokens());
        let sent: usize = blocks.iter().map(|block| block.pieces.len()).sum();
        let overrides = &directives.usage;
        Self {
            id: format!("msg_standin{sequence:08}"),
            model: conversation.model().to_owned(),
            blocks,
            stop_reason: directives.stop_reason.clone().unwrap_or_else(|| stop_reason.to_owned()),
            stop_sequence: stop_sequence.filter(|_| directives.stop_reason.is_none()),
            usage: Usage {
                input: overrides.input.unwrap_or_else(|| conversation.estimated_tokens()),
                output: overrides.output.unwrap_or(u64::try_from(sent).unwrap_or(u64::MAX)),
                cache_read: overrides.cache_read.unwrap_or(0),
                cache_write: overrides.cache_write.unwrap_or(0),
            },
            first_delta_delay: directives.first_delta_delay,
            gap: directives.gap,
            fault: directives.fault,
            fault_message: directives.message.clone().unwrap_or_else(|| "Overloaded".to_owned()),
        }
    }

    /// The message as it stands when a stream begins: without content or an end.
    pub fn opening(&self) -> Value {
        // The real API counts the first token before it has sent any.
        let usage = Usage { output: 1, ..self.usage }.to_json();
        self.message(Vec::new(), Value::Null, Value::Null, usage)
    }

    /// The whole message.
    pub fn whole(&self) -> Value {
        let content = self.blocks.iter().map(Block::whole).collect();
        self.message(content, json!(self.stop_reason), json!(self.stop_sequence), self.usage.to_json())
    }

    /// The data of the `message_delta` event.
    pub fn closing(&self) -> Value {
        let delta = json!({"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence});
        json!({"type": "message_delta", "delta": delta, "usage": self.usage.to_json()})
    }

    fn message(&self, content: Vec<Value>, stop_reason: Value, stop_sequence: Value, usage: Value) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": stop_sequence, "usage": usage,
        })
    }
}

impl Block {
    /// The block without its content, as a stream begins it.
    pub fn opening(&self) -> Value {
        match &self.kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::Text => json!({"type": "text", "text": ""}),
            Kind::ToolUse { id, name } => json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
        }
    }

    fn whole(&self) -> Value {
        let content = self.pieces.concat();
        match &self.kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": content, "signature": SIGNATURE}),
            Kind::Text => json!({"type": "text", "text": content}),
            Kind::ToolUse { id, name } => {
                // An input which `max_tokens` has cut is no JSON any more.
                let input: Value = serde_json::from_str(&content).unwrap_or_else(|_| json!({}));
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
        }
    }
}

impl Usage {
    fn to_json(&self) -> Value {
        json!({
            "input_tokens": self.input, "cache_creation_input_tokens": self.cache_write,
            "cache_read_input_tokens": self.cache_read, "output_tokens": self.output,
        })
    }
}

/// The scripted calls, or else the one which the request forces, unless that brings the results of the last.
fn tool_calls(conversation: &Conversation<'_>, directives: &Directives) -> Vec<ToolCall> {
    if !directives.tools.is_empty() || conversation.tool_results().is_some() {
        return directives.tools.clone();
    }
    let forced = conversation.forced_tool().into_iter();
    forced.map(|name| ToolCall { name: name.to_owned(), input: "{}".to_owned() }).collect()
}

fn answer_text(
    conversation: &Conversation<'_>,
    directives: &Directives,
    source: &str,
    has_calls: bool,
) -> String {
    match &directives.text {
        Text::Say(text) => text.clone(),
        Text::Echo => source.to_owned(),
        Text::EchoRequest => conversation.body().to_string(),
        Text::Tokens(count) => (1..=*count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" "),
        Text::Unscripted if has_calls => String::new(),
        Text::Unscripted => {
            if let Some(results) = conversation.tool_results() {
                return format!("Tool results: {results}");
            }
            match conversation.output_schema() {
                Some(schema) => schema::minimal(schema).to_string(),
                None => demo_text(conversation.last_text()),
            }
        }
    }
}

fn demo_text(asked: &str) -> String {
    let quoted: String = asked.chars().take(QUOTED_CHARS).collect();
    let ellipsis = if quoted.len() < asked.len() { "..." } else { "" };
    format!(
        "Hello! I am the offline stand-in for the Messages API, so no model was asked. You wrote: \"{quoted}{ellipsis}\""
    )
}

/// Cuts the parts at the first stop sequence in a text and at `max_tokens` pieces; empty texts make no block.
fn bounded(
    parts: impl Iterator<Item = (Kind, String)>,
    sequences: &[&str],
    max_tokens: usize,
) -> (Vec<Block>, Stop) {
    let mut blocks = Vec::new();
    let mut room = max_tokens;
    let mut stop = ("end_turn", None);
    for (kind, mut content) in parts {
        let cut = (kind == Kind::Text).then(|| stop_match(&content, sequences)).flatten();
        if let Some((at, _)) = cut {
            content.truncate(at);
        }
        let mut pieces = match kind {
            Kind::ToolUse { .. } => input_pieces(&content),
            Kind::Thinking | Kind::Text => words(&content),
        };
        let is_over = pieces.len() > room;
        pieces.truncate(room);
        room -= pieces.len();
        let is_call = matches!(kind, Kind::ToolUse { .. });
        if is_call {
            stop = ("tool_use", None);
        }
        // A call without input has no piece, but is a call.
        if !pieces.is_empty() || (is_call && room > 0) {
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
    matches.filter_map(|sequence| Some((text.find(sequence)?, *sequence))).min_by_key(|(at, _)| *at)
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
    chars.chunks(size).map(|chunk| chunk.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str, sequences: &[&str], max_tokens: usize) -> (String, Stop) {
        let (blocks, stop) = bounded(iter::once((Kind::Text, content.to_owned())), sequences, max_tokens);
        (blocks.into_iter().flat_map(|block| block.pieces).collect(), stop)
    }

    #[test]
    fn words_join_to_the_same_text() {
        for content in ["", " ", "a", " a", "a ", "a  b\n\nc \n", "größer als ö\u{a0}x"] {
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
        assert_eq!(text("END now", &["END"], 99), (String::new(), ("stop_sequence", Some("END".into()))));
        assert_eq!(text("one two", &["", "three"], 99), ("one two".into(), ("end_turn", None)));
    }

    #[test]
    fn max_tokens_cuts_at_words_and_comes_before_a_later_stop() {
        assert_eq!(text("a b c", &[], 2), ("a b".into(), ("max_tokens", None)));
        assert_eq!(text("a b c", &[], 3), ("a b c".into(), ("end_turn", None)));
        assert_eq!(text("a b c d", &["d"], 2), ("a b".into(), ("max_tokens", None)));
        assert_eq!(text("a b c d", &["c"], 2), ("a b ".into(), ("stop_sequence", Some("c".into()))));
    }

    #[test]
    fn max_tokens_counts_over_all_blocks() {
        let tool = Kind::ToolUse { id: "t".into(), name: "n".into() };
        let parts = [(Kind::Thinking, "x y"), (Kind::Text, "z"), (tool, "{\"a\":1}")];
        let parts = parts.map(|(kind, content)| (kind, content.to_owned()));
        let (blocks, stop) = bounded(parts.clone().into_iter(), &[], 4);
        assert_eq!((blocks.len(), blocks[2].pieces.len(), stop.0), (3, 1, "max_tokens"));
        assert_eq!(bounded(parts.into_iter(), &[], 99).1.0, "tool_use");
    }
}
