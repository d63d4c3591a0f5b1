//! The CLI's events of one turn, as steps of an answer.

use std::borrow::Cow;
use std::time::Duration;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ToolUse;
use crate::domain::TurnEvent;
use crate::domain::Usage;

use super::answer::Answer;
use super::failure::classify;
use super::protocol::{ApiRetry, CallFailed, Event, Lifecycle, StreamEvent};

/// The longest that a turn waits while the CLI waits before it tries a failed call again. Its own delays are shorter.
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(5);

/// What a line means for the turn.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// The next step of the answer.
    Emit(TurnEvent),
    /// The model began to answer: from here on the CLI must not call it again in this turn.
    Begin(TurnEvent),
    /// The answer is whole.
    Finish(Finish),
    /// The turn failed.
    Fail(Failure),
}

/// Follows one turn, from its user line to its end.
#[derive(Debug)]
pub(super) struct Translator {
    /// The `uuid` of the turn's user line.
    uuid: String,
    is_started: bool,
    has_begun: bool,
    answer: Answer,
    /// The tool whose input is the answer, where there is one.
    answer_tool: Option<String>,
    /// Whether that tool was called.
    has_called_answer_tool: bool,
    /// Whether the input that comes is that tool's.
    is_answer_input: bool,
    usage: Usage,
    failed_call: Option<CallFailed>,
    /// How long upstream last asked to wait before the next try.
    retry_delay: Option<Duration>,
    /// Whether the CLI has said that it is done with the turn.
    is_over: bool,
}

impl Translator {
    /// Follows the turn whose user line has this `uuid`; the input of a call of `answer_tool` is its answer.
    pub(super) fn new(uuid: String, answer_tool: Option<String>) -> Self {
        Self {
            answer_tool,
            has_called_answer_tool: false,
            is_answer_input: false,
            answer: Answer::default(),
            uuid,
            is_started: false,
            has_begun: false,
            usage: Usage::default(),
            failed_call: None,
            retry_delay: None,
            is_over: false,
        }
    }

    /// Follows the further answer of a turn that runs already.
    pub(super) fn resumed(uuid: String, answer_tool: Option<String>) -> Self {
        Self { is_started: true, ..Self::new(uuid, answer_tool) }
    }

    /// Follows nothing, since there is no turn.
    pub(super) fn over() -> Self {
        Self { is_over: true, ..Self::new(String::new(), None) }
    }

    /// What the model has said so far.
    pub(super) fn answer(&self) -> Answer {
        self.answer.clone()
    }

    /// Whether the turn runs, so that an interrupt reaches it.
    pub(super) fn is_running(&self) -> bool {
        self.is_started && !self.is_over
    }

    /// Whether the CLI is done with the turn, so that it can be rewound.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the CLI goes on by itself after an answer that ended for `reason`: it asks the model to continue one
    /// that met its limit, and to say something when it said nothing or refused; and it waits for the result of the
    /// tool by which the model answered.
    pub(super) fn would_continue(&self, reason: FinishReason) -> bool {
        self.answer.is_empty() || self.has_called_answer_tool || reason != FinishReason::Stop
    }

    pub(super) fn accept(&mut self, event: Event<'_>) -> Step {
        match event {
            Event::Stream(event) => self.stream_event(event),
            Event::CallFailed(call) => {
                self.failed_call = Some(call);
                Step::Nothing
            }
            // Every run is over with its result. One that reports no failure, and comes here, never called the model.
            Event::Result(result) => {
                let no_call = "The CLI ended the turn without an answer of the model.";
                Step::Fail(if result.is_error || self.failed_call.is_some() {
                    classify(
                        self.failed_call.as_ref(),
                        result.api_error_status,
                        &result.report,
                        self.retry_delay,
                    )
                } else {
                    Failure::new(FailureKind::Upstream, no_call)
                })
            }
            Event::Lifecycle(..) => {
                self.drain(&event);
                if self.is_over {
                    Step::Fail(Failure::new(FailureKind::Upstream, "The CLI gave the turn up."))
                } else {
                    Step::Nothing
                }
            }
            Event::ApiRetry(retry) => self.retry(&retry),
            Event::Limit(_) | Event::Control(_) | Event::Mcp(_) | Event::Other => Step::Nothing,
        }
    }

    /// Lets the CLI try again soon. Where upstream asks for more time, the caller can wait without holding a worker.
    fn retry(&mut self, retry: &ApiRetry) -> Step {
        self.retry_delay = retry.delay.or(self.retry_delay);
        if retry.delay.is_some_and(|delay| delay > LONGEST_RETRY_DELAY) {
            return Step::Fail(classify(Some(&retry.call), retry.status, "", retry.delay));
        }
        Step::Nothing
    }

    /// Follows the turn in lines that are no longer part of its answer.
    pub(super) fn drain(&mut self, event: &Event<'_>) {
        if let Event::Lifecycle(uuid, state) = event
            && *uuid == self.uuid
        {
            self.is_started |= *state == Lifecycle::Started;
            self.is_over |= matches!(state, Lifecycle::Completed | Lifecycle::Cancelled);
        }
    }

    fn stream_event(&mut self, event: StreamEvent<'_>) -> Step {
        match event {
            StreamEvent::MessageStart { .. } if !self.answer.is_empty() => Step::Fail(Failure::new(
                FailureKind::Upstream,
                "The answer was cut off upstream, and only a part of it has arrived.",
            )),
            StreamEvent::MessageStart { model, usage } => {
                usage.count_into(&mut self.usage);
                if std::mem::replace(&mut self.has_begun, true) {
                    return Step::Nothing;
                }
                Step::Begin(TurnEvent::Started { model: model.into_owned(), usage: self.usage })
            }
            StreamEvent::Text(text) | StreamEvent::Thinking(text) if text.is_empty() => Step::Nothing,
            StreamEvent::Thinking(text) => Step::Emit(TurnEvent::Thinking(text.into_owned())),
            StreamEvent::Signature(seal) => Step::Emit(TurnEvent::ThinkingSealed(seal.into_owned())),
            StreamEvent::Redacted(data) => Step::Emit(TurnEvent::ThinkingRedacted(data.into_owned())),
            StreamEvent::Text(text) => self.text(text.into_owned()),
            StreamEvent::ToolUse { id, name } => self.call(id.into_owned(), name.into_owned()),
            StreamEvent::Input(piece) => self.input(piece.into_owned()),
            // Upstream has no piece for an empty object.
            StreamEvent::BlockEnd
                if std::mem::take(&mut self.is_answer_input) && self.answer.text.is_empty() =>
            {
                self.text("{}".to_owned())
            }
            StreamEvent::MessageDelta { stop_reason, stop_sequence, usage } => {
                usage.count_into(&mut self.usage);
                let Some(reason) = stop_reason else { return Step::Nothing };
                Step::Finish(Finish {
                    reason: self.finish_reason(&reason),
                    stop_text: stop_sequence.map(Cow::into_owned),
                    usage: self.usage,
                })
            }
            StreamEvent::BlockEnd | StreamEvent::Other => Step::Nothing,
        }
    }

    fn text(&mut self, text: String) -> Step {
        self.answer.text.push_str(&text);
        Step::Emit(TurnEvent::Text(text))
    }

    fn call(&mut self, id: String, name: String) -> Step {
        self.is_answer_input = self.answer_tool.as_ref() == Some(&name);
        if self.is_answer_input {
            self.has_called_answer_tool = true;
            return Step::Nothing;
        }
        self.answer.calls.push(ToolUse { id: id.clone(), name: name.clone(), input: String::new() });
        Step::Emit(TurnEvent::ToolCall { id, name })
    }

    fn input(&mut self, piece: String) -> Step {
        if piece.is_empty() {
            return Step::Nothing;
        }
        if self.is_answer_input {
            return self.text(piece);
        }
        let Some(call) = self.answer.calls.last_mut() else { return Step::Nothing };
        call.input.push_str(&piece);
        Step::Emit(TurnEvent::ToolInput(piece))
    }

    /// The one place where the reason of the end is decided.
    fn finish_reason(&self, stop_reason: &str) -> FinishReason {
        match stop_reason {
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "refusal" => FinishReason::ContentFilter,
            "tool_use" if !self.answer.calls.is_empty() => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        }
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
