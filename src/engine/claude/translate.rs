//! Translation of the CLI's events of one turn to steps of an answer.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;
use crate::domain::Usage;

use super::failure::classify;
use super::finish_reason::decide_finish_reason;
use super::protocol::{ApiRetry, CallFailed, CliEvent, LineLifecycle, StreamEvent};
use super::server_blocks;

/// Maximum delay before a retry by the CLI; its own delays are shorter.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Effect of a line on the turn.
#[derive(Debug, PartialEq)]
pub(super) enum TurnStep {
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
pub(super) struct TurnTranslator {
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
    citations: VecDeque<TurnEvent>,
    usage: Usage,
    /// Native fields of the end of the message.
    native: NativeFields,
    failed_call: Option<CallFailed>,
    /// Retry delay that upstream last asked for.
    retry_delay: Option<Duration>,
    /// Set when the CLI has reported that it is done with the turn.
    is_over: bool,
}

impl TurnTranslator {
    /// Creates the translator of the turn whose user line has this `uuid`.
    pub(super) fn new(uuid: String) -> Self {
        Self {
            open: OpenBlock::Other,
            has_server_block: false,
            is_after_text: false,
            citations: VecDeque::new(),
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
    pub(super) fn for_transcript_message(uuid: String) -> Self {
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
    pub(super) fn has_output(&self) -> bool {
        self.has_thought || self.has_text || self.has_called || self.has_server_block
    }

    /// Translates `event` to its effect on the turn.
    pub(super) fn translate(&mut self, event: CliEvent<'_>) -> TurnStep {
        match event {
            CliEvent::Stream(event) => self.stream_event(event),
            CliEvent::CallFailed(call) => {
                self.failed_call = Some(call);
                TurnStep::Nothing
            }
            // A result ends every run. A result without a failure that arrives here means that the
            // model was never called.
            CliEvent::Result(result) => {
                let no_call = "The CLI ended the turn without an answer of the model.";
                TurnStep::Fail(if result.is_error || self.failed_call.is_some() {
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
            CliEvent::Lifecycle(..) => {
                self.follow_lifecycle(&event);
                if self.is_over {
                    TurnStep::Fail(Failure::new(
                        FailureKind::Upstream,
                        "The CLI aborted the turn.",
                    ))
                } else {
                    TurnStep::Nothing
                }
            }
            CliEvent::ApiRetry(retry) => self.retry(&retry),
            CliEvent::Call => TurnStep::Call,
            CliEvent::Limit(_) | CliEvent::Control(_) | CliEvent::Other => TurnStep::Nothing,
        }
    }

    /// Lets the CLI retry after a short delay. If upstream asks for a longer one, or the retries
    /// are used up, the turn fails, so that the caller waits without holding a worker.
    fn retry(&mut self, retry: &ApiRetry) -> TurnStep {
        self.retry_delay = retry.delay.or(self.retry_delay);
        let is_long = retry.delay.is_some_and(|delay| delay > MAX_RETRY_DELAY);
        if is_long || retry.exceeds_limit {
            return TurnStep::Fail(classify(Some(&retry.call), retry.status, "", retry.delay));
        }
        TurnStep::Nothing
    }

    /// Follows the state of the turn in lines that are no longer part of its answer.
    pub(super) fn follow_lifecycle(&mut self, event: &CliEvent<'_>) {
        if let CliEvent::Lifecycle(uuid, state) = event
            && *uuid == self.uuid
        {
            self.is_started |= *state == LineLifecycle::Started;
            self.is_over |= matches!(state, LineLifecycle::Completed | LineLifecycle::Cancelled);
        }
    }

    fn stream_event(&mut self, event: StreamEvent<'_>) -> TurnStep {
        match event {
            StreamEvent::MessageStart {
                model,
                usage,
                native,
            } => {
                usage.merge_into(&mut self.usage);
                self.start_answer(model.into_owned(), native)
            }
            StreamEvent::Text(text) | StreamEvent::Thinking(text) if text.is_empty() => {
                TurnStep::Nothing
            }
            StreamEvent::Thinking(text) => self.thought(TurnEvent::Thinking(text.into_owned())),
            StreamEvent::Signature(signature) => {
                self.thought(TurnEvent::ThinkingSignature(signature.into_owned()))
            }
            StreamEvent::Redacted(data) => {
                self.thought(TurnEvent::ThinkingRedacted(data.into_owned()))
            }
            StreamEvent::Text(text) => self.text(text.into_owned()),
            StreamEvent::ToolUse { id, name, caller } => {
                let caller = caller.map(|caller| caller.get().to_owned());
                self.call(id.into_owned(), name.into_owned(), caller)
            }
            StreamEvent::TextStart => self.start_text(),
            StreamEvent::ServerBlock(block) => {
                self.start_server_block();
                TurnStep::Emit(TurnEvent::ServerBlock(server_blocks::parse_block(block)))
            }
            StreamEvent::Input(piece) if self.open == OpenBlock::Server => {
                TurnStep::Emit(server_blocks::input_delta(&piece))
            }
            StreamEvent::OtherDelta(delta) => self.delta(server_blocks::parse_delta(delta)),
            StreamEvent::Input(piece) => self.input(piece.into_owned()),
            StreamEvent::BlockEnd => self.end_block(),
            StreamEvent::MessageDelta {
                stop_reason,
                stop_sequence,
                usage,
                native,
            } => {
                usage.merge_into(&mut self.usage);
                self.native.update(native);
                let Some(reason) = stop_reason else {
                    return TurnStep::Nothing;
                };
                TurnStep::Finish(self.finish(&reason, stop_sequence.map(Cow::into_owned)))
            }
            StreamEvent::Other => TurnStep::Nothing,
        }
    }

    fn start_text(&mut self) -> TurnStep {
        self.open = OpenBlock::Text;
        let is_next = std::mem::replace(&mut self.is_after_text, true) && self.has_text;
        if is_next {
            TurnStep::Emit(TurnEvent::NextText)
        } else {
            TurnStep::Nothing
        }
    }

    fn start_server_block(&mut self) {
        self.open = OpenBlock::Server;
        self.is_after_text = false;
        self.has_server_block = true;
    }

    fn start_answer(&mut self, model: String, native: NativeFields) -> TurnStep {
        if self.has_output() {
            let message = "The answer was cut off upstream, and only a part of it has arrived.";
            return TurnStep::Fail(Failure::new(FailureKind::Upstream, message));
        }
        if std::mem::replace(&mut self.has_begun, true) {
            return TurnStep::Nothing;
        }
        TurnStep::Emit(TurnEvent::Started {
            model,
            usage: self.usage,
            native,
        })
    }

    fn end_block(&mut self) -> TurnStep {
        self.open = OpenBlock::Other;
        self.next_citation()
            .map_or(TurnStep::Nothing, TurnStep::Emit)
    }

    /// Returns the next citation of a text that is complete.
    pub(super) fn next_citation(&mut self) -> Option<TurnEvent> {
        if self.open == OpenBlock::Text {
            None
        } else {
            self.citations.pop_front()
        }
    }

    fn delta(&mut self, delta: TurnEvent) -> TurnStep {
        if self.open == OpenBlock::Text && matches!(delta, TurnEvent::Citation(_)) {
            self.citations.push_back(delta);
            return TurnStep::Nothing;
        }
        TurnStep::Emit(delta)
    }

    fn thought(&mut self, event: TurnEvent) -> TurnStep {
        self.has_thought = true;
        TurnStep::Emit(event)
    }

    fn text(&mut self, text: String) -> TurnStep {
        self.has_text = true;
        TurnStep::Emit(TurnEvent::Text(text))
    }

    fn call(&mut self, id: String, name: String, caller: Option<String>) -> TurnStep {
        self.is_after_text = false;
        self.open = OpenBlock::Other;
        self.has_called = true;
        TurnStep::Emit(TurnEvent::ToolCall { id, name, caller })
    }

    fn input(&mut self, piece: String) -> TurnStep {
        if piece.is_empty() {
            return TurnStep::Nothing;
        }
        if self.has_called {
            TurnStep::Emit(TurnEvent::ToolInput(piece))
        } else {
            TurnStep::Nothing
        }
    }

    fn finish(&mut self, stop_reason: &str, stop_sequence: Option<String>) -> Finish {
        let (reason, is_whole) = decide_finish_reason(stop_reason, self.has_called);
        let mut native = std::mem::take(&mut self.native);
        native.stop_reason = (!is_whole).then(|| stop_reason.to_owned());
        Finish {
            reason,
            stop_sequence,
            usage: self.usage,
            native,
        }
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
