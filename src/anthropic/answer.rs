//! An answer as one body.

use super::json;
use super::types::Block;
use super::types::Reply;
use crate::domain::Finish;
use crate::domain::TurnEvent;

/// An answer that is being gathered.
#[derive(Debug)]
pub struct Answer {
    shows_thinking: bool,
    blocks: Vec<Block>,
}

impl Answer {
    /// An empty answer; without `shows_thinking` only the seals of thoughts are told.
    pub fn new(shows_thinking: bool) -> Self {
        Self { shows_thinking, blocks: Vec::new() }
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
                Some(Block::Text { text }) => text.push_str(&piece),
                _ => self.blocks.push(Block::Text { text: piece }),
            },
            TurnEvent::ToolCall { id, name } => {
                self.blocks.push(Block::ToolUse { id, name, input: String::new() });
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(Block::ToolUse { input, .. }) = self.blocks.last_mut() {
                    input.push_str(&piece);
                }
            }
            TurnEvent::Finished(finish) => return Some(finish),
        }
        None
    }

    /// The whole answer.
    pub fn body(&self, reply: &Reply, finish: &Finish) -> String {
        json::to_string(&reply.message(&self.blocks, finish))
    }
}

/// The body of `POST /v1/messages/count_tokens`.
pub fn count(input_tokens: u64) -> String {
    format!(r#"{{"input_tokens":{input_tokens}}}"#)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
