//! The arguments of strict tools keep to their schemas, or the answer has failed.
//!
//! Upstream binds the model to the schema of a strict tool where it can; this is the promise kept where it cannot. A schema
//! that cannot be compiled here, as one that refers to another document, is left to upstream.

use jsonschema::ValidationError;
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::FinishReason;
use crate::domain::Tool;
use crate::domain::Tools;
use crate::domain::TurnEvent;

/// The longest part of a message that names a place in a schema, in characters.
const LONGEST_PLACE: usize = 200;

/// Follows the calls in an answer.
#[derive(Debug)]
pub(super) struct Strict {
    /// The strict tools of the turn.
    tools: Vec<Tool>,
    /// The calls so far, as the index of the tool, where it is strict, and the arguments.
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    tool: Option<usize>,
    arguments: String,
}

impl Strict {
    /// Follows a turn that offers `tools`.
    pub(super) fn new(tools: &Tools) -> Self {
        let tools = tools.list.iter().filter(|tool| tool.strict).cloned().collect();
        Self { tools, calls: Vec::new() }
    }

    /// Takes note of a step of the answer.
    pub(super) fn note(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::ToolCall { name, .. } => {
                let tool = self.tools.iter().position(|tool| tool.name == *name);
                self.calls.push(Call { tool, arguments: String::new() });
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
    /// When the arguments of one do not keep to the schema.
    pub(super) fn check(&mut self, reason: FinishReason) -> Result<(), Failure> {
        if reason != FinishReason::ToolCalls {
            // The last one may have been cut off, which the reason tells.
            self.calls.pop();
        }
        for (index, tool) in self.tools.iter().enumerate() {
            let mut calls = self.calls.iter().filter(|call| call.tool == Some(index)).peekable();
            if calls.peek().is_none() {
                continue;
            }
            let Some(validator) = compile(tool) else { continue };
            calls.try_for_each(|call| check(&validator, tool, &call.arguments))?;
        }
        Ok(())
    }
}

fn compile(tool: &Tool) -> Option<Validator> {
    let schema: Option<Value> = serde_json::from_str(&tool.schema).ok();
    let validator = schema.and_then(|schema| jsonschema::validator_for(&schema).ok());
    if validator.is_none() {
        // Not why: the reason quotes the schema.
        tracing::warn!("the schema of a strict tool cannot be compiled, its arguments are not checked");
    }
    validator
}

fn check(validator: &Validator, tool: &Tool, arguments: &str) -> Result<(), Failure> {
    let arguments = if arguments.is_empty() { "{}" } else { arguments };
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else {
        return Err(violation(tool, "they are no JSON"));
    };
    match validator.validate(&arguments) {
        Err(error) if !is_undecided(&error) => Err(violation(tool, &unmet(&error))),
        _ => Ok(()),
    }
}

/// Whether a pattern was too much for the engine, which says nothing about the arguments.
fn is_undecided(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::BacktrackLimitExceeded { .. } | ValidationErrorKind::RegexEngineFailure { .. }
    )
}

/// The place in the schema that is not kept to. Not the place in the arguments, whose names may be the model's words.
fn unmet(error: &ValidationError<'_>) -> String {
    let place = error.schema_path().as_str();
    let fit = |c: char| if c.is_control() || c == '`' { '?' } else { c };
    let place: String = place.chars().take(LONGEST_PLACE).map(fit).collect();
    format!("`{place}` is not met")
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
