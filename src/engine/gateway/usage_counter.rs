//! Usage of a turn so far, counted from its events.

use crate::domain::CalledTool;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Counts the usage of a turn from its events.
#[derive(Debug, Default)]
pub(super) struct UsageCounter {
    /// Resolved id of the model that answers; empty before the answer begins.
    pub(super) model: String,
    /// Usage that upstream has reported.
    reported: Usage,
    /// Bytes of the answer that upstream has not counted yet.
    uncounted_bytes: u64,
    /// Web searches that have begun.
    searches: u64,
}

impl UsageCounter {
    /// Counts an event.
    pub(super) fn record(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started { model, usage, .. } => {
                model.clone_into(&mut self.model);
                self.reported = *usage;
            }
            TurnEvent::Text(piece) | TurnEvent::Thinking(piece) | TurnEvent::ToolInput(piece) => {
                self.uncounted_bytes += piece.len() as u64;
            }
            TurnEvent::ServerBlock(ServerBlock {
                tool:
                    ServerTool::Call {
                        tool: CalledTool::Search,
                        ..
                    },
                ..
            }) => self.searches += 1,
            TurnEvent::Finished(finish) => {
                self.reported = finish.usage;
                self.uncounted_bytes = 0;
                self.searches = 0;
            }
            // The signature in base64, which may be all that is visible of the thoughts.
            TurnEvent::ThinkingSignature(signature) | TurnEvent::ThinkingRedacted(signature) => {
                self.uncounted_bytes = self.uncounted_bytes.max(signature.len() as u64 / 4 * 3);
            }
            TurnEvent::ToolCall { .. }
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::Citation(_)
            | TurnEvent::NextText => {}
        }
    }

    /// True if the model has begun to answer. Before that, upstream charges nothing.
    pub(super) fn has_begun(&self) -> bool {
        !self.model.is_empty()
    }

    /// Returns the output tokens in [`usage`](Self::usage) that upstream has not counted.
    pub(super) fn estimated_output_tokens(&self) -> u64 {
        self.uncounted_bytes
            .div_ceil(Usage::BYTES_PER_OUTPUT_TOKEN)
            .saturating_sub(self.reported.output_tokens)
    }

    /// Returns the usage so far, in part estimated.
    pub(super) fn usage(&self) -> Usage {
        let output_tokens = self
            .reported
            .output_tokens
            .max(self.uncounted_bytes.div_ceil(Usage::BYTES_PER_OUTPUT_TOKEN));
        Usage {
            output_tokens,
            web_searches: self.reported.web_searches.max(self.searches),
            ..self.reported
        }
    }
}
