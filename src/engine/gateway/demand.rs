//! A call that a request demands, where the model is only told to make it.
//!
//! The answer is held until the call begins. One that ends without it is made once more; the second is given as it is.

use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::ToolChoice;
use crate::domain::TurnEvent;

/// Follows an answer, and holds what comes before the call.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// What has to be called; none where nothing is demanded, or where it was called.
    open: Option<ToolChoice>,
    held: Vec<TurnEvent>,
}

impl Demand {
    /// Waits for the call that `choice` demands, if it does.
    pub(super) fn of(choice: ToolChoice) -> Self {
        let is_open = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
        Self {
            open: is_open.then_some(choice),
            held: Vec::new(),
        }
    }

    /// Whether a call is demanded that was not made.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the answer may be made anew, to have the call: it has come to its `finish` without.
    pub(super) fn is_missed(&self, finish: &Finish) -> bool {
        let is_whole = matches!(finish.reason, FinishReason::Stop | FinishReason::ToolCalls);
        self.is_open() && is_whole && finish.stop_text.is_none()
    }

    /// Forgets the answer, of which another one takes the place.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    /// Takes the next step of the answer, and gives what may be told by now.
    pub(super) fn take(&mut self, event: TurnEvent) -> Vec<TurnEvent> {
        if self
            .open
            .as_ref()
            .is_some_and(|choice| is_met(choice, &event))
        {
            self.open = None;
        }
        if self.open.is_some() && !matches!(event, TurnEvent::Started { .. }) {
            self.held.push(event);
            return Vec::new();
        }
        let mut given = std::mem::take(&mut self.held);
        given.push(event);
        given
    }

    /// What is held, for an answer that is given as it is.
    pub(super) fn give(&mut self) -> Vec<TurnEvent> {
        std::mem::take(&mut self.held)
    }
}

fn is_met(choice: &ToolChoice, event: &TurnEvent) -> bool {
    match (choice, event) {
        (ToolChoice::Named(wanted), TurnEvent::ToolCall { name, .. }) => wanted == name,
        (ToolChoice::Required, TurnEvent::ToolCall { .. }) => true,
        (ToolChoice::Required, TurnEvent::ServerBlock(ServerBlock { tool, .. })) => {
            matches!(tool, ServerTool::Call { .. })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Usage;

    fn text() -> TurnEvent {
        TurnEvent::Text("I think".to_owned())
    }

    fn call(name: &str) -> TurnEvent {
        TurnEvent::tool_call("1", name)
    }

    fn end(reason: FinishReason) -> Finish {
        Finish::new(reason, Usage::default())
    }

    #[test]
    fn an_answer_is_held_until_the_call_begins() {
        let mut demand = Demand::of(ToolChoice::Required);
        assert_eq!(demand.take(text()), []);
        assert_eq!(demand.take(call("a")), [text(), call("a")]);
        assert_eq!(demand.take(text()), [text()]);
        assert!(!demand.is_missed(&end(FinishReason::ToolCalls)));
    }

    #[test]
    fn another_call_is_not_the_one_that_is_named() {
        let mut demand = Demand::of(ToolChoice::Named("b".to_owned()));
        assert_eq!(demand.take(call("a")), []);
        assert!(demand.is_missed(&end(FinishReason::ToolCalls)));
        assert!(
            !demand.is_missed(&end(FinishReason::Length)),
            "its end says why"
        );
        demand.forget();
        assert_eq!(demand.take(text()), []);
        assert_eq!(demand.give(), [text()]);
    }

    #[test]
    fn nothing_is_held_where_nothing_is_demanded() {
        for choice in [ToolChoice::Auto, ToolChoice::None] {
            assert_eq!(Demand::of(choice).take(text()), [text()]);
        }
    }
}
