//! Checks that an answer has the requested format.
//!
//! Claude is bound to a schema as far as its API takes it; the rest is given as instructions. An
//! answer that may come out otherwise is buffered until it is known to be good: to its end if it
//! is checked against a schema that binds only in part, else until its object begins. While nothing
//! of it was sent to the client, one more run may do better.

mod object;
mod plan;

#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Format;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::schema_check::SchemaCheck;
use object::JsonObjectExtractor;
use plan::FormatPlan;

/// Extent to which events are buffered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buffering {
    /// Holds nothing back.
    No,
    /// Until the object begins.
    ToObject,
    /// Until the answer is complete.
    ToEnd,
}

/// Filter that follows an answer and holds events back until they may be sent.
#[derive(Debug)]
pub(super) struct JsonAnswerCheck {
    is_json: bool,
    /// Schema to check the answer against.
    schema: Option<String>,
    /// Extracts the object from the answer, if Claude is only instructed to give one.
    object: Option<JsonObjectExtractor>,
    buffering: Buffering,
    buffered: Vec<TurnEvent>,
    json: String,
    /// Set once something of the answer was sent.
    is_sent: bool,
    has_called: bool,
}

impl JsonAnswerCheck {
    /// Rewrites `turn` to ask for its format in a way that Claude takes, and creates the filter for
    /// its answer.
    pub(super) fn apply(turn: &mut Turn) -> Self {
        let plan = FormatPlan::for_format(&turn.sampling.format);
        let strict = match &turn.sampling.format {
            Format::Schema(schema) if schema.is_strict => Some(schema.json.clone()),
            _ => None,
        };
        let form = Self {
            is_json: plan != FormatPlan::Any,
            object: matches!(
                plan,
                FormatPlan::Instructed {
                    is_object: true,
                    ..
                }
            )
            .then(JsonObjectExtractor::default),
            buffering: choose_buffering(&plan, strict.is_some()),
            schema: strict,
            buffered: Vec::new(),
            json: String::new(),
            is_sent: false,
            has_called: false,
        };
        plan.apply(turn);
        plan::bind_tools(turn);
        form
    }

    /// True if the answer may be repeated: nothing of it was sent, and its format is not
    /// guaranteed.
    pub(super) fn may_repeat(&self) -> bool {
        self.buffering != Buffering::No && !self.is_sent
    }

    /// Resets the filter for a repeated answer.
    pub(super) fn reset(&mut self) {
        self.object = self.object.take().map(|_| JsonObjectExtractor::default());
        self.buffered.clear();
        self.json.clear();
        self.is_sent = false;
        self.has_called = false;
    }

    /// Takes the next event, and returns the events that may be sent now.
    pub(super) fn filter(&mut self, event: TurnEvent) -> Vec<TurnEvent> {
        if matches!(event, TurnEvent::Started { .. }) {
            return vec![event];
        }
        self.has_called |= matches!(event, TurnEvent::ToolCall { .. });
        let event = match event {
            TurnEvent::Text(text) if !self.has_called => match self.filter_text(text) {
                Some(event) => event,
                None => return Vec::new(),
            },
            event => event,
        };
        let begins = self.buffering == Buffering::ToObject && !self.json.is_empty();
        self.buffered.push(event);
        if self.has_called {
            // The text beside a tool call may be prose.
            return self.release(true);
        }
        if self.is_sent || begins || self.buffering == Buffering::No {
            return self.release(false);
        }
        Vec::new()
    }

    /// Takes a text, and returns the event to be sent for it.
    fn filter_text(&mut self, text: String) -> Option<TurnEvent> {
        if !self.is_json {
            return Some(TurnEvent::Text(text));
        }
        let Some(object) = &mut self.object else {
            self.json.push_str(&text);
            return Some(TurnEvent::Text(text));
        };
        let cut = object.extract(&text);
        self.json.push_str(&cut);
        if !self.is_sent {
            // The whole text is held: it may be prose beside a tool call.
            return Some(TurnEvent::Text(text));
        }
        (!cut.is_empty()).then_some(TurnEvent::Text(cut))
    }

    /// Releases the buffered events: all of them, or with the extracted object in place of the
    /// text.
    fn release(&mut self, is_whole: bool) -> Vec<TurnEvent> {
        let mut buffered = std::mem::take(&mut self.buffered);
        if self.object.is_some() && !self.is_sent && !is_whole {
            buffered.retain(|event| {
                !matches!(
                    event,
                    TurnEvent::Text(_) | TurnEvent::NextText | TurnEvent::Citation(_)
                )
            });
            buffered.push(TurnEvent::Text(self.json.clone()));
        }
        self.is_sent |= !buffered.is_empty();
        buffered
    }

    /// Checks an answer that came to its `finish`, and returns the events left to send. An answer
    /// that was cut off or refused, or that calls tools, is not checked.
    ///
    /// # Errors
    /// Fails if it is not JSON, or violates its schema.
    pub(super) fn finish(&mut self, finish: &Finish) -> Result<Vec<TurnEvent>, Failure> {
        let is_whole = finish.reason == FinishReason::Stop && finish.stop_sequence.is_none();
        if !self.is_json || !is_whole || self.has_called {
            return Ok(self.release(true));
        }
        if serde_json::from_str::<IgnoredAny>(&self.json).is_err() {
            return Err(failure("is not the requested JSON"));
        }
        let schema = self.schema.as_deref().map(SchemaCheck::new);
        if let Some(what) = schema.and_then(|schema| schema.violation(&self.json)) {
            return Err(failure(&format!(
                "does not match the requested schema: {what}"
            )));
        }
        if self.buffered.is_empty() {
            Ok(Vec::new())
        } else {
            Ok(self.release(false))
        }
    }
}

/// Returns the maximum number of runs of a turn for an answer of this `format`.
pub(super) fn max_runs(format: &Format) -> u32 {
    let is_strict = matches!(format, Format::Schema(schema) if schema.is_strict);
    if choose_buffering(&FormatPlan::for_format(format), is_strict) == Buffering::No {
        1
    } else {
        2
    }
}

fn choose_buffering(plan: &FormatPlan, is_strict: bool) -> Buffering {
    match plan {
        FormatPlan::Bound {
            is_weaker: true, ..
        } if is_strict => Buffering::ToEnd,
        FormatPlan::Any | FormatPlan::Bound { .. } => Buffering::No,
        FormatPlan::Instructed {
            is_object: true, ..
        } if !is_strict => Buffering::ToObject,
        FormatPlan::Instructed { .. } => Buffering::ToEnd,
    }
}

fn failure(what: &str) -> Failure {
    Failure::new(
        FailureKind::Upstream,
        format!("Claude's answer {what}. Try again."),
    )
}
