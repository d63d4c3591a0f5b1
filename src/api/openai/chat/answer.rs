//! An answer, gathered.

use crate::api::openai::citation::CitedText;
use crate::api::openai::citation::UrlCitation;
use crate::domain::Finish;
use crate::domain::ToolUse;
use crate::domain::TurnEvent;

/// What came of a turn so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// What the model thought.
    pub thinking: String,
    /// Its words.
    pub text: String,
    /// Its calls.
    pub calls: Vec<ToolUse>,
    /// Its sources.
    pub annotations: Vec<UrlCitation>,
    /// How it ended, once it has.
    pub finish: Option<Finish>,
    pub(in crate::api::openai) cited: CitedText,
}

impl Answer {
    /// Adds what happened next.
    pub fn add(&mut self, event: TurnEvent) {
        self.cited.note(&event);
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSealed(_)
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
            TurnEvent::Citation(citation) => self.annotations.extend(self.cited.cite(&citation)),
            TurnEvent::Finished(finish) => self.finish = Some(finish),
        }
    }
}
