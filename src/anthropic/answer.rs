//! An answer as one body.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use super::types::Block;
use super::types::Reply;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::TurnEvent;

/// An answer that is being gathered.
#[derive(Debug)]
pub struct Answer {
    shows_thinking: bool,
    blocks: Vec<Block>,
    /// Whether the next words are a text of their own.
    begins_text: bool,
    /// The input of the server block that came last, as far as it came in pieces.
    server_input: String,
}

impl Answer {
    /// An empty answer; without `shows_thinking` only the seals of thoughts are told.
    pub fn new(shows_thinking: bool) -> Self {
        Self { shows_thinking, blocks: Vec::new(), begins_text: false, server_input: String::new() }
    }

    /// Adds what `event` gives, and says how the answer ended when it has.
    pub fn event(&mut self, event: TurnEvent) -> Option<Finish> {
        match event {
            TurnEvent::Started { .. } => {}
            TurnEvent::Thinking(piece) => {
                let shown = if self.shows_thinking { piece.as_str() } else { "" };
                match self.blocks.last_mut() {
                    Some(Block::Thinking { thinking, signature }) if signature.is_empty() => {
                        thinking.push_str(shown);
                    }
                    _ => self
                        .blocks
                        .push(Block::Thinking { thinking: shown.to_owned(), signature: String::new() }),
                }
            }
            TurnEvent::ThinkingSealed(seal) => match self.blocks.last_mut() {
                Some(Block::Thinking { signature, .. }) if signature.is_empty() => *signature = seal,
                _ => self.blocks.push(Block::Thinking { thinking: String::new(), signature: seal }),
            },
            TurnEvent::ThinkingRedacted(data) => self.blocks.push(Block::RedactedThinking { data }),
            TurnEvent::Text(piece) => match self.blocks.last_mut() {
                Some(Block::Text { text, .. }) if !self.begins_text => text.push_str(&piece),
                _ => {
                    self.begins_text = false;
                    self.blocks.push(Block::Text { text: piece, citations: Vec::new() });
                }
            },
            TurnEvent::ToolCall { id, name } => {
                self.blocks.push(Block::ToolUse { id, name, input: String::new() });
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(Block::ToolUse { input, .. }) = self.blocks.last_mut() {
                    input.push_str(&piece);
                }
            }
            TurnEvent::ServerBlock(block) => {
                self.complete_server_block();
                self.blocks.extend(RawValue::from_string(block.json).ok().map(Block::Server));
            }
            TurnEvent::BlockDelta(delta) => {
                self.server_input.push_str(delta.input.as_deref().unwrap_or_default());
            }
            TurnEvent::Citation(citation) => self.cite(&citation),
            TurnEvent::NextText => self.begins_text = true,
            TurnEvent::Finished(finish) => {
                self.complete_server_block();
                return Some(finish);
            }
        }
        None
    }

    fn cite(&mut self, citation: &Citation) {
        let Ok(delta) = serde_json::from_str::<CitationDelta>(&citation.json) else { return };
        match self.blocks.last_mut() {
            Some(Block::Text { citations, .. }) if !self.begins_text => citations.push(delta.citation),
            _ => {
                self.begins_text = false;
                self.blocks.push(Block::Text { text: String::new(), citations: vec![delta.citation] });
            }
        }
    }

    /// Puts the input that came in pieces into its server block.
    fn complete_server_block(&mut self) {
        let input = std::mem::take(&mut self.server_input);
        let is_server = |block: &&mut Block| matches!(block, Block::Server(_));
        let Some(Block::Server(block)) = self.blocks.iter_mut().rev().find(is_server) else { return };
        let Ok(input) = serde_json::from_str::<Value>(&input) else { return };
        if let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(block.get()) {
            fields.insert("input".to_owned(), input);
            if let Ok(whole) = RawValue::from_string(Value::Object(fields).to_string()) {
                *block = whole;
            }
        }
    }

    /// The whole answer.
    pub fn body(&self, reply: &Reply, finish: &Finish) -> String {
        json::to_string(&reply.message(&self.blocks, finish))
    }
}

#[derive(Deserialize)]
struct CitationDelta {
    citation: Box<RawValue>,
}

/// The body of `POST /v1/messages/count_tokens`.
pub fn count(input_tokens: u64) -> String {
    format!(r#"{{"input_tokens":{input_tokens}}}"#)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
