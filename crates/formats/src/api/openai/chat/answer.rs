//! Chat answer of one turn, collected from its events.

use crate::api::openai::citation::CitedText;
use crate::api::openai::citation::UrlCitation;
use crate::domain::Finish;
use crate::domain::ToolUse;
use crate::domain::TurnEvent;

/// Chat answer as far as its events have arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatAnswer {
    /// Thinking text of the model.
    pub thinking: String,
    /// Answer text of the model.
    pub text: String,
    /// Tool calls, in order.
    pub calls: Vec<ToolUse>,
    /// Web sources cited by the text.
    pub annotations: Vec<UrlCitation>,
    /// Finish reason and usage; none until the turn has ended.
    pub finish: Option<Finish>,
    pub(in crate::api::openai) cited: CitedText,
}

impl ChatAnswer {
    /// Applies the next event of the turn.
    pub fn apply_event(&mut self, event: TurnEvent) {
        self.cited.track_event(&event);
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSignature(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::NextText => {}
            TurnEvent::Thinking(piece) => self.thinking.push_str(&piece),
            TurnEvent::Text(piece) => self.text.push_str(&piece),
            TurnEvent::ToolCall { id, name, .. } => {
                self.calls.push(ToolUse {
                    id,
                    name,
                    input: String::new(),
                });
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(call) = self.calls.last_mut() {
                    call.input.push_str(&piece);
                }
            }
            TurnEvent::Citation(citation) => {
                self.annotations.extend(self.cited.url_citation(&citation));
            }
            TurnEvent::Finished(finish) => self.finish = Some(finish),
        }
    }
}
