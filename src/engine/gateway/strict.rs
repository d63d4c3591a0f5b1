//! Validation of strict tool calls: an answer with invalid arguments fails.
//!
//! Upstream binds the model to the part of a strict tool's schema that it supports; the rest is
//! checked here. A schema that cannot be compiled, such as one that refers to another document, is
//! left to upstream.

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::FinishReason;
use crate::domain::Tool;
use crate::domain::Tools;
use crate::domain::TurnEvent;

use super::schema_check::SchemaCheck;

/// Collects the tool calls of an answer.
#[derive(Debug)]
pub(super) struct ToolArgumentCheck {
    /// Strict tools of the turn.
    tools: Vec<Tool>,
    /// Calls so far: the index of the tool, if it is strict, and the arguments.
    calls: Vec<StrictToolCall>,
}

#[derive(Debug)]
struct StrictToolCall {
    tool: Option<usize>,
    arguments: String,
}

impl ToolArgumentCheck {
    /// Creates the check for a turn that offers `tools`.
    pub(super) fn new(tools: &Tools) -> Self {
        let tools = tools
            .list
            .iter()
            .filter(|tool| tool.strict)
            .cloned()
            .collect();
        Self {
            tools,
            calls: Vec::new(),
        }
    }

    /// Records an event of the answer.
    pub(super) fn record(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::ToolCall { name, .. } => {
                let tool = self.tools.iter().position(|tool| tool.name == *name);
                self.calls.push(StrictToolCall {
                    tool,
                    arguments: String::new(),
                });
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(call) = self.calls.last_mut().filter(|call| call.tool.is_some()) {
                    call.arguments.push_str(piece);
                }
            }
            _ => {}
        }
    }

    /// Checks the calls of an answer that ended for `reason`.
    ///
    /// # Errors
    /// Fails if the arguments of a call violate the schema.
    pub(super) fn check(&mut self, reason: FinishReason) -> Result<(), Failure> {
        if reason != FinishReason::ToolCalls {
            // The last call may have been cut off, as the finish reason says.
            self.calls.pop();
        }
        for (index, tool) in self.tools.iter().enumerate() {
            let mut calls = self
                .calls
                .iter()
                .filter(|call| call.tool == Some(index))
                .peekable();
            if calls.peek().is_none() {
                continue;
            }
            let schema = SchemaCheck::new(&tool.schema);
            calls.try_for_each(|call| check_arguments(&schema, tool, &call.arguments))?;
        }
        Ok(())
    }
}

fn check_arguments(schema: &SchemaCheck, tool: &Tool, arguments: &str) -> Result<(), Failure> {
    let arguments = if arguments.is_empty() {
        "{}"
    } else {
        arguments
    };
    schema
        .violation(arguments)
        .map_or(Ok(()), |what| Err(violation(tool, &what)))
}

fn violation(tool: &Tool, what: &str) -> Failure {
    let message = format!(
        "Claude called the strict tool `{}` with arguments that do not keep to its schema: {what}. Try again.",
        tool.name
    );
    Failure::new(FailureKind::Upstream, message)
}

#[cfg(test)]
#[path = "strict_tests.rs"]
mod tests;
