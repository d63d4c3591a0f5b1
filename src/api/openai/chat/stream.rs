//! Stream of a chat completion, as payloads of server-sent events.

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

const ROLE_DELTA: &str = r#"{"role":"assistant","content":"","refusal":null}"#;
const CHOICE_TAIL: &str = r#","logprobs":null,"finish_reason":null}"#;

/// Turns the events of the turns of one request into the payloads of `data:` lines; HTTP does the
/// framing.
///
/// The output is well-formed for any order of events: each choice sends its role once and first,
/// then text and tool calls, then one finish reason.
#[derive(Debug)]
pub struct ChatStreamEncoder {
    /// Beginning of each chunk, up to and including the opening bracket of `choices`.
    head: String,
    /// End of each chunk, from the closing bracket of `choices`.
    tail: &'static str,
    tool_call_format: ToolCallFormat,
    include_usage: bool,
    usage: Usage,
    choices: Vec<ChatChoiceProgress>,
    has_failed: bool,
}

/// Progress of one choice.
#[derive(Debug)]
struct ChatChoiceProgress {
    /// Beginning of the choice in each chunk, up to and including the name of its delta.
    head: String,
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
        let head = format!(
            r#"{{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"choices":["#,
            json::to_string(&reply.id),
            reply.created,
            json::to_string(&reply.model),
        );
        let choice = |index| ChatChoiceProgress {
            head: format!(r#"{{"index":{index},"delta":"#),
            state: ChatChoiceState::Fresh,
            call_count: 0,
            has_input: true,
            text: None,
            cited: CitedText::default(),
        };
        Self {
            head,
            tail: if include_usage {
                r#"],"usage":null}"#
            } else {
                "]}"
            },
            tool_call_format: reply.tool_call_format.clone(),
            include_usage,
            usage: Usage::default(),
            choices: (0..n).map(choice).collect(),
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
                    payloads.push(self.chunk(index, ROLE_DELTA));
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
                payloads.extend(self.piece(index, r#"{"reasoning_content":"#, text, "}"));
            }
            TurnEvent::Text(text) => {
                payloads.extend(self.piece(index, r#"{"content":"#, text, "}"));
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

    /// Returns the payload `[DONE]` if every choice has finished. Its absence tells the client that
    /// the stream broke off.
    pub fn done(&self) -> Option<&'static str> {
        let is_whole = self
            .choices
            .iter()
            .all(|choice| choice.state == ChatChoiceState::Finished);
        (is_whole && !self.has_failed).then_some("[DONE]")
    }

    /// Returns the chunk for a citation; none unless its source is on the web.
    fn annotation(&mut self, index: usize, citation: &Citation) -> Option<String> {
        let citation = self.choices.get(index)?.cited.url_citation(citation)?;
        let annotation = json::to_string(&ChatAnnotation::from(&citation));
        Some(self.chunk(index, &format!(r#"{{"annotations":[{annotation}]}}"#)))
    }

    fn call(&mut self, index: usize, id: &str, name: &str, payloads: &mut Vec<String>) {
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        let (custom, number, name) = (name, choice.call_count, json::to_string(name));
        choice.call_count += 1;
        choice.has_input = false;
        choice.text = None;
        let delta = match self.tool_call_format {
            ToolCallFormat::Custom(_) if self.tool_call_format.is_custom(custom) => {
                choice.text = Some(CustomInputParser::default());
                format!(
                    r#"{{"tool_calls":[{{"index":{number},"id":{},"type":"custom","custom":{{"name":{name},"input":""}}}}]}}"#,
                    json::to_string(id)
                )
            }
            ToolCallFormat::Tools | ToolCallFormat::Custom(_) => format!(
                r#"{{"tool_calls":[{{"index":{number},"id":{},"type":"function","function":{{"name":{name},"arguments":""}}}}]}}"#,
                json::to_string(id)
            ),
            // A message in the deprecated format has room for one call.
            ToolCallFormat::Functions if number > 0 => return,
            ToolCallFormat::Functions => {
                format!(r#"{{"function_call":{{"name":{name},"arguments":""}}}}"#)
            }
        };
        payloads.push(self.chunk(index, &delta));
    }

    fn input(&mut self, index: usize, piece: &str) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        choice.has_input |= !piece.is_empty();
        let number = choice.call_count.checked_sub(1)?;
        if let Some(text) = &mut choice.text {
            let piece = text.push(piece);
            return self.text_piece(index, number, &piece);
        }
        match self.tool_call_format {
            ToolCallFormat::Tools | ToolCallFormat::Custom(_) => {
                let delta =
                    format!(r#"{{"tool_calls":[{{"index":{number},"function":{{"arguments":"#);
                self.piece(index, &delta, piece, "}}]}")
            }
            ToolCallFormat::Functions if number > 0 => None,
            ToolCallFormat::Functions => {
                self.piece(index, r#"{"function_call":{"arguments":"#, piece, "}}")
            }
        }
    }

    /// Returns the chunk for a piece of the text of custom tool call `number`.
    fn text_piece(&self, index: usize, number: usize, piece: &str) -> Option<String> {
        let delta = format!(r#"{{"tool_calls":[{{"index":{number},"custom":{{"input":"#);
        self.piece(index, &delta, piece, "}}]}")
    }

    /// Ends the open tool call, if any. A call without input gets an empty object.
    fn end_call(&mut self, index: usize) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        if let Some(mut text) = choice.text.take() {
            choice.has_input = true;
            let (number, rest) = (choice.call_count.checked_sub(1)?, text.finish());
            return self.text_piece(index, number, &rest);
        }
        let has_input = self.choices.get(index)?.has_input;
        (!has_input).then(|| self.input(index, "{}")).flatten()
    }

    fn finish(&mut self, index: usize, finish: &Finish, payloads: &mut Vec<String>) {
        if finish.reason == FinishReason::ContentFilter {
            payloads.extend(self.piece(index, r#"{"refusal":"#, REFUSAL, "}"));
        }
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        choice.state = ChatChoiceState::Finished;
        let reason = finish_reason_in_format(finish.reason, &self.tool_call_format);
        let end = format!(r#"{{}},"logprobs":null,"finish_reason":"{reason}"}}"#);
        payloads.push([&self.head, &choice.head, &end, self.tail].concat());
        self.usage = self.usage + finish.usage;
        // The usage chunk follows the last choice to finish, before `[DONE]`.
        if self.include_usage && self.done().is_some() {
            let usage = json::to_string(&CompletionUsage::from(&self.usage));
            payloads.push(format!(r#"{}],"usage":{usage}}}"#, self.head));
        }
    }

    /// Hot path: only the text is escaped, the JSON around it is copied.
    fn piece(&self, index: usize, before: &str, text: &str, after: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let text = json::to_string(text);
        let head = self.choices.get(index)?.head.as_str();
        Some(
            [
                &self.head,
                head,
                before,
                &text,
                after,
                CHOICE_TAIL,
                self.tail,
            ]
            .concat(),
        )
    }

    fn chunk(&self, index: usize, delta: &str) -> String {
        let head = self
            .choices
            .get(index)
            .map_or("", |choice| choice.head.as_str());
        [&self.head, head, delta, CHOICE_TAIL, self.tail].concat()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
