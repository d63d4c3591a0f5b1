//! What the model said in a turn.

use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolUse;

/// What the model said.
#[derive(Debug, Default, Clone)]
pub(super) struct Answer {
    /// Its words.
    pub(super) text: String,
    /// Its calls of the caller's tools.
    pub(super) calls: Vec<ToolUse>,
}

impl Answer {
    /// As the message that the caller sends back, thoughts aside.
    pub(super) fn message(&self) -> Message {
        let text = Some(&self.text).filter(|text| !text.trim().is_empty()).cloned().map(Part::Text);
        let call = |call: &ToolUse| {
            let input = if call.input.is_empty() { "{}" } else { &call.input };
            Part::ToolUse(ToolUse { input: input.to_owned(), ..call.clone() })
        };
        let calls = self.calls.iter().map(call);
        Message { role: Role::Assistant, parts: text.into_iter().chain(calls).collect() }
    }

    /// Whether it said nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.calls.is_empty()
    }
}
