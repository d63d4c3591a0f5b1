//! Stream of a chat completion, as payloads of server-sent events.

use super::chunk::CallDelta;
use super::chunk::ChatChunk;
use super::chunk::ChatChunkChoice;
use super::chunk::ChatDelta;
use super::chunk::ChunkUsage;
use super::chunk::CustomCallDelta;
use super::chunk::FunctionCallDelta;
use super::encode::ChatReply;
use super::tools::ToolCallFormat;
use super::types::ChatAnnotation;
use super::types::CompletionUsage;
use super::types::finish_reason_in_format;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::REFUSAL;
use crate::api::openai::citation::CitedText;
use crate::api::openai::custom_input::CustomInputParser;
use crate::api::openai::json;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Turns the events of the turns of one request into the payloads of `data:` lines; HTTP does the
/// framing.
///
/// The output is well-formed for any order of events: each choice sends its role once and first,
/// then text and tool calls, then one finish reason.
#[derive(Debug)]
pub struct ChatStreamEncoder {
    reply: ChatReply,
    include_usage: bool,
    usage: Usage,
    choices: Vec<ChatChoiceProgress>,
    has_failed: bool,
}

/// Progress of one choice.
#[derive(Debug)]
struct ChatChoiceProgress {
    state: ChatChoiceState,
    /// Number of tool calls begun.
    call_count: usize,
    /// True if the last tool call has any input yet, or there is none.
    has_input: bool,
    /// Input of the last tool call, if it is of a custom tool.
    text: Option<CustomInputParser>,
    cited: CitedText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChatChoiceState {
    /// Before the first chunk.
    Fresh,
    /// Role is sent.
    Open,
    /// Finish reason is sent.
    Finished,
}

impl ChatStreamEncoder {
    /// Creates an encoder for `n` choices; `include_usage` is the client's
    /// `stream_options.include_usage`.
    pub fn new(reply: &ChatReply, n: usize, include_usage: bool) -> Self {
        let choice = || ChatChoiceProgress {
            state: ChatChoiceState::Fresh,
            call_count: 0,
            has_input: true,
            text: None,
            cited: CitedText::default(),
        };
        Self {
            reply: reply.clone(),
            include_usage,
            usage: Usage::default(),
            choices: std::iter::repeat_with(choice).take(n).collect(),
            has_failed: false,
        }
    }

    /// Returns the payloads for `event` of choice `index`; none once the choice has finished or the
    /// stream has failed.
    pub fn event(&mut self, index: usize, event: &TurnEvent) -> Vec<String> {
        let mut payloads = Vec::new();
        match self.choices.get_mut(index) {
            Some(choice) if !self.has_failed && choice.state != ChatChoiceState::Finished => {
                if choice.state == ChatChoiceState::Fresh {
                    choice.state = ChatChoiceState::Open;
                    payloads.push(self.chunk(index, ChatDelta::ROLE, None));
                }
            }
            _ => return payloads,
        }
        if !matches!(event, TurnEvent::ToolInput(_)) {
            payloads.extend(self.end_call(index));
        }
        if let Some(choice) = self.choices.get_mut(index) {
            choice.cited.track_event(event);
        }
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSignature(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::NextText => {}
            TurnEvent::Thinking(text) => {
                let delta = |reasoning_content| ChatDelta::Reasoning { reasoning_content };
                payloads.extend(self.piece(index, text, delta));
            }
            TurnEvent::Text(text) => {
                payloads.extend(self.piece(index, text, |content| ChatDelta::Content { content }));
            }
            TurnEvent::ToolCall { id, name, .. } => self.call(index, id, name, &mut payloads),
            TurnEvent::ToolInput(piece) => payloads.extend(self.input(index, piece)),
            TurnEvent::Citation(citation) => payloads.extend(self.annotation(index, citation)),
            TurnEvent::Finished(finish) => self.finish(index, finish, &mut payloads),
        }
        payloads
    }

    /// Returns the payload of an error after the stream has begun; nothing may follow it.
    pub fn failed(&mut self, envelope: &OpenAiErrorEnvelope) -> String {
        self.has_failed = true;
        envelope.to_json()
    }

    /// Returns the payload `[DONE]` if every choice has finished. Its absence shows the client that
    /// the stream broke off.
    pub fn done(&self) -> Option<&'static str> {
        let is_complete = self
            .choices
            .iter()
            .all(|choice| choice.state == ChatChoiceState::Finished);
        (is_complete && !self.has_failed).then_some("[DONE]")
    }

    /// Returns the chunk for a citation; none unless its source is on the web.
    fn annotation(&mut self, index: usize, citation: &Citation) -> Option<String> {
        let citation = self.choices.get(index)?.cited.url_citation(citation)?;
        let delta = ChatDelta::Annotation {
            annotations: [ChatAnnotation::from(&citation)],
        };
        Some(self.chunk(index, delta, None))
    }

    fn call(&mut self, index: usize, id: &str, name: &str, payloads: &mut Vec<String>) {
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        let number = choice.call_count;
        choice.call_count += 1;
        choice.has_input = false;
        choice.text = None;
        let function = FunctionCallDelta {
            name: Some(name),
            arguments: "",
        };
        let delta = match self.reply.tool_call_format {
            ToolCallFormat::Custom(_) if self.reply.tool_call_format.is_custom(name) => {
                choice.text = Some(CustomInputParser::default());
                let custom = CustomCallDelta {
                    name: Some(name),
                    input: "",
                };
                ChatDelta::begin_call(number, id, "custom", CallDelta::Custom(custom))
            }
            ToolCallFormat::Tools | ToolCallFormat::Custom(_) => {
                ChatDelta::begin_call(number, id, "function", CallDelta::Function(function))
            }
            // A message in the deprecated format has room for one call.
            ToolCallFormat::Functions if number > 0 => return,
            ToolCallFormat::Functions => ChatDelta::FunctionCall {
                function_call: function,
            },
        };
        payloads.push(self.chunk(index, delta, None));
    }

    fn input(&mut self, index: usize, piece: &str) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        choice.has_input |= !piece.is_empty();
        let number = choice.call_count.checked_sub(1)?;
        if let Some(text) = &mut choice.text {
            let piece = text.push(piece);
            return self.text_piece(index, number, &piece);
        }
        let function = |arguments| FunctionCallDelta {
            name: None,
            arguments,
        };
        match self.reply.tool_call_format {
            ToolCallFormat::Tools | ToolCallFormat::Custom(_) => {
                self.piece(index, piece, |piece| {
                    ChatDelta::continue_call(number, CallDelta::Function(function(piece)))
                })
            }
            ToolCallFormat::Functions if number > 0 => None,
            ToolCallFormat::Functions => {
                self.piece(index, piece, |piece| ChatDelta::FunctionCall {
                    function_call: function(piece),
                })
            }
        }
    }

    /// Returns the chunk for a piece of the text of custom tool call `number`.
    fn text_piece(&self, index: usize, number: usize, piece: &str) -> Option<String> {
        self.piece(index, piece, |input| {
            let custom = CustomCallDelta { name: None, input };
            ChatDelta::continue_call(number, CallDelta::Custom(custom))
        })
    }

    /// Ends the open tool call, if any. A call without input gets an empty object.
    fn end_call(&mut self, index: usize) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        if let Some(mut text) = choice.text.take() {
            choice.has_input = true;
            let number = choice.call_count.checked_sub(1)?;
            let rest = text.finish();
            return self.text_piece(index, number, &rest);
        }
        let has_input = self.choices.get(index)?.has_input;
        (!has_input).then(|| self.input(index, "{}")).flatten()
    }

    fn finish(&mut self, index: usize, finish: &Finish, payloads: &mut Vec<String>) {
        if finish.reason == FinishReason::ContentFilter {
            payloads.push(self.chunk(index, ChatDelta::Refusal { refusal: REFUSAL }, None));
        }
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        choice.state = ChatChoiceState::Finished;
        let reason = finish_reason_in_format(finish.reason, &self.reply.tool_call_format);
        payloads.push(self.chunk(index, ChatDelta::Empty {}, Some(reason)));
        self.usage = self.usage + finish.usage;
        // The usage chunk follows the last choice to finish, before `[DONE]`.
        if self.include_usage && self.done().is_some() {
            let usage = CompletionUsage::from(&self.usage);
            payloads.push(self.payload(&[], Some(ChunkUsage::Total(usage))));
        }
    }

    /// Returns the chunk for a piece of text; none for an empty one.
    fn piece<'a>(
        &self,
        index: usize,
        text: &'a str,
        delta: impl FnOnce(&'a str) -> ChatDelta<'a>,
    ) -> Option<String> {
        (!text.is_empty()).then(|| self.chunk(index, delta(text), None))
    }

    fn chunk(
        &self,
        index: usize,
        delta: ChatDelta<'_>,
        finish_reason: Option<&'static str>,
    ) -> String {
        let choice = ChatChunkChoice {
            index,
            delta,
            logprobs: (),
            finish_reason,
        };
        let usage = self.include_usage.then_some(ChunkUsage::Pending);
        self.payload(&[choice], usage)
    }

    fn payload(&self, choices: &[ChatChunkChoice<'_>], usage: Option<ChunkUsage>) -> String {
        json::to_string(&ChatChunk {
            id: &self.reply.id,
            object: "chat.completion.chunk",
            created: self.reply.created,
            model: &self.reply.model,
            choices,
            usage,
        })
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
