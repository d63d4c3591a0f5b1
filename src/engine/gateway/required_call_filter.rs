//! Checks that a required tool call was made, for models that are only instructed to make it.
//!
//! The answer is buffered until the call begins. An answer that ends without the call is run once
//! more; the second one is delivered as it is.

use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::ToolChoice;
use crate::domain::TurnEvent;

/// Holds an answer back until its demanded tool call begins.
#[derive(Debug, Default)]
pub(super) struct RequiredCallFilter {
    /// Tool choice still to be met; `None` if nothing is demanded, or once it was called.
    open: Option<ToolChoice>,
    held: Vec<TurnEvent>,
}

impl RequiredCallFilter {
    /// Creates a filter for `choice`; it holds nothing back unless the choice demands a call.
    pub(super) fn for_choice(choice: ToolChoice) -> Self {
        let is_open = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
        Self {
            open: is_open.then_some(choice),
            held: Vec::new(),
        }
    }

    /// True while a demanded call has not been made.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// True if the answer came to its `finish` without the demanded call, so that it may be
    /// repeated.
    pub(super) fn is_missed(&self, finish: &Finish) -> bool {
        let is_whole = matches!(finish.reason, FinishReason::Stop | FinishReason::ToolCalls);
        self.is_open() && is_whole && finish.stop_sequence.is_none()
    }

    /// Resets the filter for a repeated answer.
    pub(super) fn reset(&mut self) {
        self.held.clear();
    }

    /// Takes the next event, and returns the events that may be sent now.
    pub(super) fn filter(&mut self, event: TurnEvent) -> Vec<TurnEvent> {
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

    /// Releases the buffered events, for an answer that is delivered without the call.
    pub(super) fn release(&mut self) -> Vec<TurnEvent> {
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
    fn answer_is_buffered_until_the_required_call_begins() {
        let mut demand = RequiredCallFilter::for_choice(ToolChoice::Required);
        assert_eq!(demand.filter(text()), []);
        assert_eq!(demand.filter(call("a")), [text(), call("a")]);
        assert_eq!(demand.filter(text()), [text()]);
        assert!(!demand.is_missed(&end(FinishReason::ToolCalls)));
    }

    #[test]
    fn call_of_another_tool_does_not_meet_a_named_choice() {
        let mut demand = RequiredCallFilter::for_choice(ToolChoice::Named("b".to_owned()));
        assert_eq!(demand.filter(call("a")), []);
        assert!(demand.is_missed(&end(FinishReason::ToolCalls)));
        assert!(
            !demand.is_missed(&end(FinishReason::Length)),
            "its end says why"
        );
        demand.reset();
        assert_eq!(demand.filter(text()), []);
        assert_eq!(demand.release(), [text()]);
    }

    #[test]
    fn nothing_is_held_without_a_demand() {
        for choice in [ToolChoice::Auto, ToolChoice::None] {
            assert_eq!(
                RequiredCallFilter::for_choice(choice).filter(text()),
                [text()]
            );
        }
    }
}
