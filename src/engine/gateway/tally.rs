//! What a turn has taken so far, as far as it can be seen from its events.

use crate::domain::CalledTool;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Bytes of an answer that are a token, about: for an answer that nobody has counted since it was cut off.
const BYTES_PER_TOKEN: u64 = 4;

/// Counts along.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The resolved id of the model that answers; empty before it has begun.
    pub(super) model: String,
    /// What is known.
    counted: Usage,
    /// Bytes of the answer that nobody has counted.
    uncounted: u64,
    /// Searches of the web that have begun.
    searches: u64,
}

impl Tally {
    /// Notes what came.
    pub(super) fn note(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started { model, usage, .. } => {
                model.clone_into(&mut self.model);
                self.counted = *usage;
            }
            TurnEvent::Text(piece) | TurnEvent::Thinking(piece) | TurnEvent::ToolInput(piece) => {
                self.uncounted += piece.len() as u64;
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
                (self.counted, self.uncounted, self.searches) = (finish.usage, 0, 0);
            }
            // The sealed thoughts in base64, which may be all there is of them.
            TurnEvent::ThinkingSealed(seal) | TurnEvent::ThinkingRedacted(seal) => {
                self.uncounted = self.uncounted.max(seal.len() as u64 / 4 * 3);
            }
            TurnEvent::ToolCall { .. }
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::Citation(_)
            | TurnEvent::NextText => {}
        }
    }

    /// Whether the model has begun to answer. Before, nothing is charged upstream.
    pub(super) fn has_begun(&self) -> bool {
        !self.model.is_empty()
    }

    /// What was taken, some of it estimated.
    pub(super) fn usage(&self) -> Usage {
        let output_tokens = self
            .counted
            .output_tokens
            .max(self.uncounted.div_ceil(BYTES_PER_TOKEN));
        Usage {
            output_tokens,
            web_searches: self.counted.web_searches.max(self.searches),
            ..self.counted
        }
    }
}
