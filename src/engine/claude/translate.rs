//! Translation of the CLI's events of one turn to steps of an answer.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;
use crate::domain::Usage;

use super::failure::classify;
use super::protocol::{ApiRetry, CallFailed, Event, Lifecycle, StreamEvent};
use super::server;

/// Maximum delay before a retry by the CLI; its own delays are shorter.
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Effect of a line on the turn.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Line without effect on the turn.
    Nothing,
    /// Event of the answer.
    Emit(TurnEvent),
    /// The call upstream is being made.
    Call,
    /// The answer is complete.
    Finish(Finish),
    /// The turn failed.
    Fail(Failure),
}

/// Content block that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenBlock {
    Text,
    /// Block that only Anthropic's API has.
    Server,
    /// Any other block, or none.
    Other,
}

/// Translator of one turn, from its user line to its end.
#[derive(Debug)]
pub(super) struct Translator {
    /// `uuid` of the turn's user line.
    uuid: String,
    is_started: bool,
    has_begun: bool,
    has_thought: bool,
    has_text: bool,
    has_called: bool,
    open: OpenBlock,
    has_server_block: bool,
    /// Set if the last block was a text.
    is_after_text: bool,
    /// Citations of the current text. Upstream sends them before the text they refer to, while
    /// encoders can place them only after it.
    sources: VecDeque<TurnEvent>,
    usage: Usage,
    /// Native fields of the end of the message.
    native: NativeFields,
    failed_call: Option<CallFailed>,
    /// Retry delay that upstream last asked for.
    retry_delay: Option<Duration>,
    /// Set when the CLI has reported that it is done with the turn.
    is_over: bool,
}

impl Translator {
    /// Creates the translator of the turn whose user line has this `uuid`.
    pub(super) fn new(uuid: String) -> Self {
        Self {
            open: OpenBlock::Other,
            has_server_block: false,
            is_after_text: false,
            sources: VecDeque::new(),
            has_thought: false,
            has_text: false,
            has_called: false,
            uuid,
            is_started: false,
            has_begun: false,
            usage: Usage::default(),
            native: NativeFields::default(),
            failed_call: None,
            retry_delay: None,
            is_over: false,
        }
    }

    /// Creates the translator of a message `uuid` that is in the transcript already, and not a
    /// turn.
    pub(super) fn over(uuid: String) -> Self {
        Self {
            is_over: true,
            ..Self::new(uuid)
        }
    }

    /// Returns the `uuid` of the turn's user line.
    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// True if the turn is running, so that an interrupt has an effect on it.
    pub(super) fn is_running(&self) -> bool {
        self.is_started && !self.is_over
    }

    /// True if the CLI is done with the turn, so that it can be rewound.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// True if the model has neither written text nor called a tool so far.
    pub(super) fn is_silent(&self) -> bool {
        !self.has_text && !self.has_called
    }

    /// True if a part of the answer was sent, so that no other answer can replace it.
    pub(super) fn has_given_out(&self) -> bool {
        self.has_thought || self.has_text || self.has_called || self.has_server_block
    }

    /// Translates `event` to its effect on the turn.
    pub(super) fn accept(&mut self, event: Event<'_>) -> Step {
        match event {
            Event::Stream(event) => self.stream_event(event),
            Event::CallFailed(call) => {
                self.failed_call = Some(call);
                Step::Nothing
            }
            // A result ends every run. A result without a failure that arrives here means that the
            // model was never called.
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
                    Step::Fail(Failure::new(
                        FailureKind::Upstream,
                        "The CLI gave the turn up.",
                    ))
                } else {
                    Step::Nothing
                }
            }
            Event::ApiRetry(retry) => self.retry(&retry),
            Event::Call => Step::Call,
            Event::Limit(_) | Event::Control(_) | Event::Other => Step::Nothing,
        }
    }

    /// Lets the CLI retry after a short delay. If upstream asks for a longer one, the turn fails,
    /// so that the caller waits without holding a worker.
    fn retry(&mut self, retry: &ApiRetry) -> Step {
        self.retry_delay = retry.delay.or(self.retry_delay);
        if retry.delay.is_some_and(|delay| delay > LONGEST_RETRY_DELAY) {
            return Step::Fail(classify(Some(&retry.call), retry.status, "", retry.delay));
        }
        Step::Nothing
    }

    /// Follows the state of the turn in lines that are no longer part of its answer.
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
            StreamEvent::MessageStart {
                model,
                usage,
                native,
            } => {
                usage.count_into(&mut self.usage);
                self.begin(model.into_owned(), native)
            }
            StreamEvent::Text(text) | StreamEvent::Thinking(text) if text.is_empty() => {
                Step::Nothing
            }
            StreamEvent::Thinking(text) => self.thought(TurnEvent::Thinking(text.into_owned())),
            StreamEvent::Signature(seal) => {
                self.thought(TurnEvent::ThinkingSealed(seal.into_owned()))
            }
            StreamEvent::Redacted(data) => {
                self.thought(TurnEvent::ThinkingRedacted(data.into_owned()))
            }
            StreamEvent::Text(text) => self.text(text.into_owned()),
            StreamEvent::ToolUse { id, name, caller } => {
                let caller = caller.map(|caller| caller.get().to_owned());
                self.call(id.into_owned(), name.into_owned(), caller)
            }
            StreamEvent::TextStart => {
                self.open = OpenBlock::Text;
                let is_next = std::mem::replace(&mut self.is_after_text, true) && self.has_text;
                if is_next {
                    Step::Emit(TurnEvent::NextText)
                } else {
                    Step::Nothing
                }
            }
            StreamEvent::ServerBlock(block) => {
                self.open = OpenBlock::Server;
                self.is_after_text = false;
                self.has_server_block = true;
                Step::Emit(TurnEvent::ServerBlock(server::block(block)))
            }
            StreamEvent::Input(piece) if self.open == OpenBlock::Server => {
                Step::Emit(server::input_delta(&piece))
            }
            StreamEvent::OtherDelta(delta) => self.delta(server::delta(delta)),
            StreamEvent::Input(piece) => self.input(piece.into_owned()),
            StreamEvent::BlockEnd => self.end_block(),
            StreamEvent::MessageDelta {
                stop_reason,
                stop_sequence,
                usage,
                native,
            } => {
                usage.count_into(&mut self.usage);
                self.native.update(native);
                let Some(reason) = stop_reason else {
                    return Step::Nothing;
                };
                Step::Finish(self.finish(&reason, stop_sequence.map(Cow::into_owned)))
            }
            StreamEvent::Other => Step::Nothing,
        }
    }

    fn begin(&mut self, model: String, native: NativeFields) -> Step {
        if self.has_given_out() {
            let message = "The answer was cut off upstream, and only a part of it has arrived.";
            return Step::Fail(Failure::new(FailureKind::Upstream, message));
        }
        if std::mem::replace(&mut self.has_begun, true) {
            return Step::Nothing;
        }
        Step::Emit(TurnEvent::Started {
            model,
            usage: self.usage,
            native,
        })
    }

    fn end_block(&mut self) -> Step {
        self.open = OpenBlock::Other;
        self.source().map_or(Step::Nothing, Step::Emit)
    }

    /// Returns the next citation of a text that is complete.
    pub(super) fn source(&mut self) -> Option<TurnEvent> {
        if self.open == OpenBlock::Text {
            None
        } else {
            self.sources.pop_front()
        }
    }

    fn delta(&mut self, delta: TurnEvent) -> Step {
        if self.open == OpenBlock::Text && matches!(delta, TurnEvent::Citation(_)) {
            self.sources.push_back(delta);
            return Step::Nothing;
        }
        Step::Emit(delta)
    }

    fn thought(&mut self, event: TurnEvent) -> Step {
        self.has_thought = true;
        Step::Emit(event)
    }

    fn text(&mut self, text: String) -> Step {
        self.has_text = true;
        Step::Emit(TurnEvent::Text(text))
    }

    fn call(&mut self, id: String, name: String, caller: Option<String>) -> Step {
        self.is_after_text = false;
        self.open = OpenBlock::Other;
        self.has_called = true;
        Step::Emit(TurnEvent::ToolCall { id, name, caller })
    }

    fn input(&mut self, piece: String) -> Step {
        if piece.is_empty() {
            return Step::Nothing;
        }
        if self.has_called {
            Step::Emit(TurnEvent::ToolInput(piece))
        } else {
            Step::Nothing
        }
    }

    /// Maps the stop reason; the only place that decides why an answer ended.
    fn finish(&mut self, stop_reason: &str, stop_text: Option<String>) -> Finish {
        let (reason, is_whole) = match stop_reason {
            "max_tokens" => (FinishReason::Length, true),
            "model_context_window_exceeded" => (FinishReason::Length, false),
            "refusal" => (FinishReason::ContentFilter, true),
            "pause_turn" => (FinishReason::Paused, true),
            "tool_use" if self.has_called => (FinishReason::ToolCalls, true),
            "tool_use" | "end_turn" | "stop_sequence" => (FinishReason::Stop, true),
            _ => (FinishReason::Stop, false),
        };
        let mut native = std::mem::take(&mut self.native);
        native.stop_reason = (!is_whole).then(|| stop_reason.to_owned());
        Finish {
            reason,
            stop_text,
            usage: self.usage,
            native,
        }
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
