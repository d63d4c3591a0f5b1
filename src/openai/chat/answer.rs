//! An answer, gathered.

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
    /// How it ended, once it has.
    pub finish: Option<Finish>,
}

impl Answer {
    /// Adds what happened next.
    pub fn add(&mut self, event: TurnEvent) {
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSealed(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::Citation(_)
            | TurnEvent::NextText => {}
            TurnEvent::Thinking(piece) => self.thinking.push_str(&piece),
            TurnEvent::Text(piece) => self.text.push_str(&piece),
            TurnEvent::ToolCall { id, name } => self.calls.push(ToolUse { id, name, input: String::new() }),
            TurnEvent::ToolInput(piece) => {
                if let Some(call) = self.calls.last_mut() {
                    call.input.push_str(&piece);
                }
            }
            TurnEvent::Finished(finish) => self.finish = Some(finish),
        }
    }
}
