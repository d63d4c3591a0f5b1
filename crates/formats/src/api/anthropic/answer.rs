//! Builder of the body of an answer that is not streamed.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use super::types::AnthropicBlock;
use super::types::MessageHead;
use crate::domain::BlockDelta;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;

/// Collector of an answer's events.
#[derive(Debug)]
pub struct MessageBuilder {
    shows_thinking: bool,
    blocks: Vec<AnthropicBlock>,
    /// Set if the next text starts a block of its own.
    begins_text: bool,
    /// Input of the last server block, as far as it arrived in pieces.
    server_input: String,
    /// Native fields of the answer.
    native: NativeFields,
}

impl MessageBuilder {
    /// Creates an empty answer; without `shows_thinking` thinking blocks contain only their
    /// signature.
    pub fn new(shows_thinking: bool) -> Self {
        Self {
            shows_thinking,
            blocks: Vec::new(),
            begins_text: false,
            server_input: String::new(),
            native: NativeFields::default(),
        }
    }

    /// Adds an event, and returns the end of the answer if the event is that.
    pub fn add_event(&mut self, event: TurnEvent) -> Option<Finish> {
        match event {
            TurnEvent::Started { native, .. } => self.native = native,
            TurnEvent::Thinking(piece) => self.add_thinking(&piece),
            TurnEvent::ThinkingSignature(signature) => self.add_signature(signature),
            TurnEvent::ThinkingRedacted(data) => {
                self.blocks.push(AnthropicBlock::RedactedThinking { data });
            }
            TurnEvent::Text(piece) => self.add_text(piece),
            TurnEvent::ToolCall { id, name, caller } => {
                self.blocks.push(AnthropicBlock::call(id, name, caller));
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(AnthropicBlock::ToolUse { input, .. }) = self.blocks.last_mut() {
                    input.push_str(&piece);
                }
            }
            TurnEvent::ServerBlock(block) => {
                self.complete_server_block();
                self.blocks.extend(
                    RawValue::from_string(block.json)
                        .ok()
                        .map(AnthropicBlock::Server),
                );
            }
            TurnEvent::BlockDelta(BlockDelta {
                input: Some(piece), ..
            }) => {
                self.server_input.push_str(&piece);
            }
            TurnEvent::BlockDelta(delta) => self.add_to_server_block(&delta.json),
            TurnEvent::Citation(citation) => self.add_citation(&citation),
            TurnEvent::NextText => self.begins_text = true,
            TurnEvent::Finished(finish) => {
                self.complete_server_block();
                self.native.update(finish.native.clone());
                return Some(finish);
            }
        }
        None
    }

    fn add_thinking(&mut self, piece: &str) {
        let shown = if self.shows_thinking { piece } else { "" };
        match self.blocks.last_mut() {
            Some(AnthropicBlock::Thinking {
                thinking,
                signature,
            }) if signature.is_empty() => {
                thinking.push_str(shown);
            }
            _ => self.blocks.push(AnthropicBlock::Thinking {
                thinking: shown.to_owned(),
                signature: String::new(),
            }),
        }
    }

    fn add_signature(&mut self, received: String) {
        match self.blocks.last_mut() {
            Some(AnthropicBlock::Thinking { signature, .. }) if signature.is_empty() => {
                *signature = received;
            }
            _ => self.blocks.push(AnthropicBlock::Thinking {
                thinking: String::new(),
                signature: received,
            }),
        }
    }

    fn add_text(&mut self, piece: String) {
        match self.blocks.last_mut() {
            Some(AnthropicBlock::Text { text, .. }) if !self.begins_text => {
                text.push_str(&piece);
            }
            _ => {
                self.begins_text = false;
                self.blocks.push(AnthropicBlock::Text {
                    text: piece,
                    citations: Vec::new(),
                });
            }
        }
    }

    fn add_citation(&mut self, citation: &Citation) {
        let Ok(delta) = serde_json::from_str::<CitationField>(&citation.json) else {
            return;
        };
        match self.blocks.last_mut() {
            Some(AnthropicBlock::Text { citations, .. }) if !self.begins_text => {
                citations.push(delta.citation);
            }
            _ => {
                self.begins_text = false;
                self.blocks.push(AnthropicBlock::Text {
                    text: String::new(),
                    citations: vec![delta.citation],
                });
            }
        }
    }

    /// Sets the collected input in its server block.
    fn complete_server_block(&mut self) {
        let input = std::mem::take(&mut self.server_input);
        let Ok(input) = serde_json::from_str::<Value>(&input) else {
            return;
        };
        self.change_server_block(|fields| {
            fields.insert("input".to_owned(), input);
        });
    }

    /// Merges the fields of a delta into the last server block: strings are appended, other values
    /// replaced.
    fn add_to_server_block(&mut self, delta: &str) {
        let Ok(delta) = serde_json::from_str::<Map<String, Value>>(delta) else {
            return;
        };
        // The delta belongs to a block of an unknown kind.
        if !matches!(self.blocks.last(), Some(AnthropicBlock::Server(_))) {
            return;
        }
        self.change_server_block(|fields| {
            for (name, value) in delta.into_iter().filter(|(name, _)| name != "type") {
                match (fields.get_mut(&name), value) {
                    (Some(Value::String(text)), Value::String(piece)) => text.push_str(&piece),
                    (_, value) => {
                        fields.insert(name, value);
                    }
                }
            }
        });
    }

    fn change_server_block(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        let is_server = |block: &&mut AnthropicBlock| matches!(block, AnthropicBlock::Server(_));
        let Some(AnthropicBlock::Server(block)) = self.blocks.iter_mut().rev().find(is_server)
        else {
            return;
        };
        let Ok(mut fields) = serde_json::from_str(block.get()) else {
            return;
        };
        change(&mut fields);
        if let Ok(whole) = RawValue::from_string(Value::Object(fields).to_string()) {
            *block = whole;
        }
    }

    /// Returns the body of the complete answer.
    pub fn body(&self, reply: &MessageHead, finish: &Finish) -> String {
        json::to_string(&reply.message(&self.blocks, finish, &self.native))
    }
}

#[derive(Deserialize)]
struct CitationField {
    citation: Box<RawValue>,
}

/// Returns the body of `POST /v1/messages/count_tokens`.
pub fn count_tokens_body(input_tokens: u64) -> String {
    format!(r#"{{"input_tokens":{input_tokens}}}"#)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
