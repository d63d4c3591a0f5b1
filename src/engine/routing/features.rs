//! Input of the routing rules.

use crate::domain::BudgetState;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;

/// Properties of a turn that the rules decide by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingFeatures<'a> {
    /// Text of the user's request, in pieces.
    pub prompt: Vec<&'a str>,
    /// Tokens of everything that goes upstream, the prompt included.
    pub context_tokens: u64,
    /// State of the caller's budgets.
    pub budget: BudgetState,
}

impl<'a> RoutingFeatures<'a> {
    /// Extracts the features of `turn`, whose whole context has `context_tokens`.
    ///
    /// Tool results are not the user's words: a turn that brings nothing else is judged by the
    /// user's message before, so that the same model continues a task.
    pub fn from_turn(turn: &'a Turn, context_tokens: u64, budget: BudgetState) -> Self {
        let earlier = turn
            .history
            .iter()
            .rev()
            .filter(|message| message.role == Role::User);
        let mut messages =
            std::iter::once(&turn.prompt).chain(earlier.map(|message| &message.parts));
        let prompt = messages.find_map(|parts| {
            let texts = texts(parts);
            (!texts.is_empty()).then_some(texts)
        });
        Self {
            prompt: prompt.unwrap_or_default(),
            context_tokens,
            budget,
        }
    }
}

fn texts<'a>(parts: &'a [Part]) -> Vec<&'a str> {
    let text = |part: &'a Part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Instruction(_)
        | Part::Continue
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::Native(_)
        | Part::CacheBreakpoint(_) => None,
    };
    parts.iter().filter_map(text).collect()
}
