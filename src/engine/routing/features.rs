//! What the rules look at.

use crate::domain::BudgetState;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;

/// What the rules look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features<'a> {
    /// What the user asks for, in pieces.
    pub prompt: Vec<&'a str>,
    /// Tokens of all that goes upstream, the prompt included.
    pub context_tokens: u64,
    /// How the caller stands to its budgets.
    pub budget: BudgetState,
}

impl<'a> Features<'a> {
    /// Those of `turn`, whose prompt has `context_tokens` with all that belongs to it.
    ///
    /// Results of tools are not what the user asks for: a turn that brings nothing else is looked at by the words of the
    /// user before, so that the same model goes on with a task.
    pub fn of(turn: &'a Turn, context_tokens: u64, budget: BudgetState) -> Self {
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
        | Part::GoOn
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::Native(_)
        | Part::CacheMark(_) => None,
    };
    parts.iter().filter_map(text).collect()
}
