//! An answer as the payloads of a stream.

use super::encode::Reply;
use super::tools::Dialect;
use super::types::Annotation;
use super::types::CompletionUsage;
use super::types::finish_word;
use crate::api::openai::Envelope;
use crate::api::openai::REFUSAL;
use crate::api::openai::citation::CitedText;
use crate::api::openai::custom::InputText;
use crate::api::openai::json;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::Usage;

const ROLE: &str = r#"{"role":"assistant","content":"","refusal":null}"#;
const TAIL: &str = r#","logprobs":null,"finish_reason":null}"#;

/// Turns the events of the turns of one request into the payloads of `data:` lines; framing them is left to HTTP.
///
/// Whatever comes in, what goes out is well-formed: of each choice the role first and once, then texts and calls, then
/// one finish.
#[derive(Debug)]
pub struct StreamEncoder {
    /// A chunk up to and with the opening bracket of `choices`.
    head: String,
    /// A chunk from the closing bracket of `choices` on.
    tail: &'static str,
    dialect: Dialect,
    include_usage: bool,
    usage: Usage,
    choices: Vec<Choice>,
    has_failed: bool,
}

/// How far a choice has come.
#[derive(Debug)]
struct Choice {
    /// A choice up to and with the name of its delta.
    head: String,
    state: State,
    /// How many calls were begun.
    calls: usize,
    /// Whether the call begun last has any input yet.
    has_input: bool,
    /// The text of the call begun last, where its tool takes one.
    text: Option<InputText>,
    cited: CitedText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    Fresh,
    /// The role was sent.
    Open,
    /// The finish was sent.
    Finished,
}

impl StreamEncoder {
    /// An encoder for `n` choices of one answer; `include_usage` as the client wished in `stream_options`.
    pub fn new(reply: &Reply, n: usize, include_usage: bool) -> Self {
        let head = format!(
            r#"{{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"choices":["#,
            json::to_string(&reply.id),
            reply.created,
            json::to_string(&reply.model),
        );
        let choice = |index| Choice {
            head: format!(r#"{{"index":{index},"delta":"#),
            state: State::Fresh,
            calls: 0,
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
            dialect: reply.dialect.clone(),
            include_usage,
            usage: Usage::default(),
            choices: (0..n).map(choice).collect(),
            has_failed: false,
        }
    }

    /// The payloads that `event` of the choice `index` gives; none for what the stream has already said or must not say
    /// any more.
    pub fn event(&mut self, index: usize, event: &TurnEvent) -> Vec<String> {
        let mut payloads = Vec::new();
        match self.choices.get_mut(index) {
            Some(choice) if !self.has_failed && choice.state != State::Finished => {
                if choice.state == State::Fresh {
                    choice.state = State::Open;
                    payloads.push(self.chunk(index, ROLE));
                }
            }
            _ => return payloads,
        }
        if !matches!(event, TurnEvent::ToolInput(_)) {
            payloads.extend(self.end_call(index));
        }
        if let Some(choice) = self.choices.get_mut(index) {
            choice.cited.note(event);
        }
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSealed(_)
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

    /// The payload that tells a client of a failure after the stream has begun; nothing may follow it.
    pub fn failed(&mut self, envelope: &Envelope) -> String {
        self.has_failed = true;
        envelope.to_json()
    }

    /// The payload `[DONE]`, or none unless every choice is whole: its absence is how a client sees a broken stream.
    pub fn done(&self) -> Option<&'static str> {
        let is_whole = self
            .choices
            .iter()
            .all(|choice| choice.state == State::Finished);
        (is_whole && !self.has_failed).then_some("[DONE]")
    }

    /// A source, in a piece of its own.
    fn annotation(&mut self, index: usize, citation: &Citation) -> Option<String> {
        let citation = self.choices.get(index)?.cited.cite(citation)?;
        let annotation = json::to_string(&Annotation::from(&citation));
        Some(self.chunk(index, &format!(r#"{{"annotations":[{annotation}]}}"#)))
    }

    fn call(&mut self, index: usize, id: &str, name: &str, payloads: &mut Vec<String>) {
        let Some(choice) = self.choices.get_mut(index) else {
            return;
        };
        let (custom, number, name) = (name, choice.calls, json::to_string(name));
        choice.calls += 1;
        choice.has_input = false;
        choice.text = None;
        let delta = match self.dialect {
            Dialect::Custom(_) if self.dialect.is_custom(custom) => {
                choice.text = Some(InputText::default());
                format!(
                    r#"{{"tool_calls":[{{"index":{number},"id":{},"type":"custom","custom":{{"name":{name},"input":""}}}}]}}"#,
                    json::to_string(id)
                )
            }
            Dialect::Tools | Dialect::Custom(_) => format!(
                r#"{{"tool_calls":[{{"index":{number},"id":{},"type":"function","function":{{"name":{name},"arguments":""}}}}]}}"#,
                json::to_string(id)
            ),
            // A message in the old form has room for one call.
            Dialect::Functions if number > 0 => return,
            Dialect::Functions => {
                format!(r#"{{"function_call":{{"name":{name},"arguments":""}}}}"#)
            }
        };
        payloads.push(self.chunk(index, &delta));
    }

    fn input(&mut self, index: usize, piece: &str) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        choice.has_input |= !piece.is_empty();
        let number = choice.calls.checked_sub(1)?;
        if let Some(text) = &mut choice.text {
            let piece = text.push(piece);
            return self.text_piece(index, number, &piece);
        }
        match self.dialect {
            Dialect::Tools | Dialect::Custom(_) => {
                let delta =
                    format!(r#"{{"tool_calls":[{{"index":{number},"function":{{"arguments":"#);
                self.piece(index, &delta, piece, "}}]}")
            }
            Dialect::Functions if number > 0 => None,
            Dialect::Functions => {
                self.piece(index, r#"{"function_call":{"arguments":"#, piece, "}}")
            }
        }
    }

    /// A piece of the text of call `number`.
    fn text_piece(&self, index: usize, number: usize, piece: &str) -> Option<String> {
        let delta = format!(r#"{{"tool_calls":[{{"index":{number},"custom":{{"input":"#);
        self.piece(index, &delta, piece, "}}]}")
    }

    /// A call without any input has an empty object for it, before anything else is said.
    fn end_call(&mut self, index: usize) -> Option<String> {
        let choice = self.choices.get_mut(index)?;
        if let Some(mut text) = choice.text.take() {
            choice.has_input = true;
            let (number, rest) = (choice.calls.checked_sub(1)?, text.end());
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
        choice.state = State::Finished;
        let reason = finish_word(finish.reason, &self.dialect);
        let end = format!(r#"{{}},"logprobs":null,"finish_reason":"{reason}"}}"#);
        payloads.push([&self.head, &choice.head, &end, self.tail].concat());
        self.usage = self.usage + finish.usage;
        if self.include_usage && self.done().is_some() {
            let usage = json::to_string(&CompletionUsage::from(&self.usage));
            payloads.push(format!(r#"{}],"usage":{usage}}}"#, self.head));
        }
    }

    /// The hot path: only the text is escaped, all around it is copied.
    fn piece(&self, index: usize, before: &str, text: &str, after: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let text = json::to_string(text);
        let head = self.choices.get(index)?.head.as_str();
        Some([&self.head, head, before, &text, after, TAIL, self.tail].concat())
    }

    fn chunk(&self, index: usize, delta: &str) -> String {
        let head = self
            .choices
            .get(index)
            .map_or("", |choice| choice.head.as_str());
        [&self.head, head, delta, TAIL, self.tail].concat()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
