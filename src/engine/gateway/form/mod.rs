//! An answer has the form that was asked for, or it has failed.
//!
//! Claude is bound to a schema as far as its API takes it; the rest it is told in words. An answer that may come out otherwise
//! is held until it is known to be good: to its end where it is checked against a schema that binds only in part, and else until
//! its object begins. As long as nothing of it was given out, one more run may do better.

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

use super::keeping::Keeping;
use object::Object;
use plan::Plan;

/// How long steps of an answer are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Not at all.
    No,
    /// Until the object begins.
    ToObject,
    /// Until the answer is whole.
    ToEnd,
}

/// Follows an answer, and holds what is not to be given out yet.
#[derive(Debug)]
pub(super) struct Form {
    is_json: bool,
    /// The schema that the answer is checked against.
    schema: Option<String>,
    /// Cuts the object out of the answer, where Claude is only told to give one.
    object: Option<Object>,
    hold: Hold,
    held: Vec<TurnEvent>,
    /// The JSON so far.
    json: String,
    /// Whether something of the answer was given out.
    is_given: bool,
    has_called: bool,
}

impl Form {
    /// Has `turn` ask for its form in a way that Claude takes, and follows the answer.
    pub(super) fn apply(turn: &mut Turn) -> Self {
        let plan = Plan::of(&turn.sampling.format);
        let strict = match &turn.sampling.format {
            Format::Schema(schema) if schema.is_strict => Some(schema.json.clone()),
            _ => None,
        };
        let form = Self {
            is_json: plan != Plan::Any,
            object: matches!(
                plan,
                Plan::Told {
                    is_object: true,
                    ..
                }
            )
            .then(Object::default),
            hold: hold(&plan, strict.is_some()),
            schema: strict,
            held: Vec::new(),
            json: String::new(),
            is_given: false,
            has_called: false,
        };
        plan.apply(turn);
        plan::bind_tools(turn);
        form
    }

    /// Whether the answer may be made anew: nothing of it was given out, and its form is not certain.
    pub(super) fn may_repeat(&self) -> bool {
        self.hold != Hold::No && !self.is_given
    }

    /// Forgets the answer, of which another one takes the place.
    pub(super) fn forget(&mut self) {
        self.object = self.object.take().map(|_| Object::default());
        self.held.clear();
        self.json.clear();
        (self.is_given, self.has_called) = (false, false);
    }

    /// Takes the next step of the answer, and gives what may be told by now.
    pub(super) fn take(&mut self, event: TurnEvent) -> Vec<TurnEvent> {
        if matches!(event, TurnEvent::Started { .. }) {
            return vec![event];
        }
        self.has_called |= matches!(event, TurnEvent::ToolCall { .. });
        let event = match event {
            TurnEvent::Text(text) if !self.has_called => match self.text(text) {
                Some(event) => event,
                None => return Vec::new(),
            },
            event => event,
        };
        let begins = self.hold == Hold::ToObject && !self.json.is_empty();
        self.held.push(event);
        if self.has_called {
            // Beside a call the answer may be words.
            return self.give(true);
        }
        if self.is_given || begins || self.hold == Hold::No {
            return self.give(false);
        }
        Vec::new()
    }

    /// Takes a text, and gives what there is to tell of it.
    fn text(&mut self, text: String) -> Option<TurnEvent> {
        if !self.is_json {
            return Some(TurnEvent::Text(text));
        }
        let Some(object) = &mut self.object else {
            self.json.push_str(&text);
            return Some(TurnEvent::Text(text));
        };
        let cut = object.take(&text);
        self.json.push_str(&cut);
        if !self.is_given {
            // All of it: it may be words beside a call.
            return Some(TurnEvent::Text(text));
        }
        (!cut.is_empty()).then_some(TurnEvent::Text(cut))
    }

    /// What was held: all of it, or with the object in the place of the text around it.
    fn give(&mut self, is_whole: bool) -> Vec<TurnEvent> {
        let mut held = std::mem::take(&mut self.held);
        if self.object.is_some() && !self.is_given && !is_whole {
            held.retain(|event| {
                !matches!(
                    event,
                    TurnEvent::Text(_) | TurnEvent::NextText | TurnEvent::Citation(_)
                )
            });
            held.push(TurnEvent::Text(self.json.clone()));
        }
        self.is_given |= !held.is_empty();
        held
    }

    /// Checks an answer that came to its `finish`, and gives what is left to tell of it. One that was cut off or refused, or that
    /// calls tools, says so itself.
    ///
    /// # Errors
    /// When it is no JSON, or does not keep to its schema.
    pub(super) fn end(&mut self, finish: &Finish) -> Result<Vec<TurnEvent>, Failure> {
        let is_whole = finish.reason == FinishReason::Stop && finish.stop_text.is_none();
        if !self.is_json || !is_whole || self.has_called {
            return Ok(self.give(true));
        }
        if serde_json::from_str::<IgnoredAny>(&self.json).is_err() {
            return Err(failure("is not the JSON that was asked for"));
        }
        let schema = self.schema.as_deref().map(Keeping::new);
        if let Some(what) = schema.and_then(|schema| schema.violation(&self.json)) {
            return Err(failure(&format!(
                "does not keep to the schema that was asked for: {what}"
            )));
        }
        if self.held.is_empty() {
            Ok(Vec::new())
        } else {
            Ok(self.give(false))
        }
    }
}

/// How often a turn for an answer of this `format` may be run.
pub(super) fn most_runs(format: &Format) -> u32 {
    let is_strict = matches!(format, Format::Schema(schema) if schema.is_strict);
    if hold(&Plan::of(format), is_strict) == Hold::No {
        1
    } else {
        2
    }
}

fn hold(plan: &Plan, is_strict: bool) -> Hold {
    match plan {
        Plan::Bound {
            is_weaker: true, ..
        } if is_strict => Hold::ToEnd,
        Plan::Any | Plan::Bound { .. } => Hold::No,
        Plan::Told {
            is_object: true, ..
        } if !is_strict => Hold::ToObject,
        Plan::Told { .. } => Hold::ToEnd,
    }
}

fn failure(what: &str) -> Failure {
    Failure::new(
        FailureKind::Upstream,
        format!("Claude's answer {what}. Try again."),
    )
}
