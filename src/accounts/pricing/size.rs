//! Size of a turn.

use crate::domain::Format;
use crate::domain::MediaSource;
use crate::domain::NativeBlock;
use crate::domain::NativeMedium;
use crate::domain::Part;
use crate::domain::Thinking;
use crate::domain::Tool;
use crate::domain::Turn;

use super::document::DocumentSize;
use super::document::UnpackQuota;
use super::text::TextSize;

/// Tokens of every call: the instructions of the CLI itself, and the message separators.
const TOKENS_PER_CALL: u64 = 50;

/// Size of the contents of a turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TurnSize {
    /// Contents that are read as text.
    text: TextSize,
    pub(super) images: u64,
    pub(super) documents: Vec<DocumentSize>,
    unpack_room: UnpackQuota,
}

impl TurnSize {
    pub(super) fn tokens_of_text(&self) -> u64 {
        self.text.tokens() + TOKENS_PER_CALL
    }

    fn text(&mut self, text: &str) {
        self.text.add(text);
    }

    fn parts(&mut self, parts: &[Part]) {
        for part in parts {
            self.part(part);
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text)
            | Part::Instruction(text)
            | Part::Thinking(Thinking::Open { text, .. } | Thinking::Redacted(text)) => {
                self.text(text);
            }
            Part::Image(_) => self.images += 1,
            Part::Document { source, .. } => self.documents.push(match source {
                MediaSource::Base64 { data, .. } => {
                    DocumentSize::of_data(data, &mut self.unpack_room)
                }
                MediaSource::Url(_) | MediaSource::Upload { .. } => DocumentSize::Remote,
            }),
            Part::ToolUse(call) => {
                self.text(&call.name);
                self.text(&call.input);
            }
            Part::ToolResult(result) => self.parts(&result.parts),
            Part::Native(block) => self.native(block),
            Part::Continue | Part::CacheBreakpoint(_) => {}
        }
    }

    fn native(&mut self, block: &NativeBlock) {
        for (medium, json) in block.pieces() {
            match medium {
                NativeMedium::Image => self.images += 1,
                NativeMedium::Document => {
                    self.documents
                        .push(DocumentSize::of_block(json, &mut self.unpack_room));
                }
                NativeMedium::Text => self.text(json),
            }
        }
    }

    fn tool(&mut self, tool: &Tool) {
        self.text(&tool.name);
        self.text(tool.description.as_deref().unwrap_or_default());
        self.text(&tool.schema);
    }
}

/// Measures what goes upstream with `turn`.
pub(super) fn measure_turn(turn: &Turn) -> TurnSize {
    let mut size = TurnSize::default();
    match &turn.native.system {
        Some(blocks) => blocks.iter().for_each(|block| size.text(block)),
        None => turn.system.iter().for_each(|text| size.text(text)),
    }
    match &turn.native.tools {
        Some(tools) => tools.iter().for_each(|tool| size.text(tool)),
        None => turn.tools.list.iter().for_each(|tool| size.tool(tool)),
    }
    if let Format::Schema(schema) = &turn.sampling.format {
        size.text(&schema.json);
    }
    turn.history
        .iter()
        .for_each(|message| size.parts(&message.parts));
    size.parts(&turn.prompt);
    size
}
