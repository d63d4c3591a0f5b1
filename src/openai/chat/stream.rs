//! An answer as the payloads of a stream.

use super::encode::Reply;
use super::types::CompletionUsage;
use super::types::finish_reason;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::openai::Envelope;
use crate::openai::json;

const ROLE: &str = r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}"#;
const TEXT_HEAD: &str = r#"{"index":0,"delta":{"content":"#;
const THINKING_HEAD: &str = r#"{"index":0,"delta":{"reasoning_content":"#;
const TEXT_TAIL: &str = r#"},"logprobs":null,"finish_reason":null}"#;

/// Turns the events of a turn into the payloads of `data:` lines; framing them is left to HTTP.
///
/// Whatever comes in, what goes out is well-formed: the role first and once, then texts, then one finish.
#[derive(Debug)]
pub struct StreamEncoder {
    /// A chunk up to and with the opening bracket of `choices`.
    head: String,
    /// A chunk from the closing bracket of `choices` on.
    tail: &'static str,
    include_usage: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    Fresh,
    /// The role was sent.
    Open,
    /// The finish was sent; only `[DONE]` may follow.
    Finished,
    /// An error was sent; nothing may follow.
    Failed,
}

impl StreamEncoder {
    /// An encoder for one answer; `include_usage` as the client wished in `stream_options`.
    pub fn new(reply: &Reply, include_usage: bool) -> Self {
        let head = format!(
            r#"{{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"choices":["#,
            json::to_string(&reply.id),
            reply.created,
            json::to_string(&reply.model),
        );
        let tail = if include_usage { r#"],"usage":null}"# } else { "]}" };
        Self { head, tail, include_usage, state: State::Fresh }
    }

    /// The payloads that `event` gives; none for what the stream has already said or must not say any more.
    pub fn event(&mut self, event: &TurnEvent) -> Vec<String> {
        if matches!(self.state, State::Finished | State::Failed) {
            return Vec::new();
        }
        let mut payloads = Vec::new();
        if self.state == State::Fresh {
            self.state = State::Open;
            payloads.push(self.chunk(ROLE));
        }
        match event {
            // Tools are not offered yet, and seals are for those who can send them back.
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSealed(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ToolCall { .. }
            | TurnEvent::ToolInput(_) => {}
            TurnEvent::Thinking(text) => payloads.extend(self.piece(THINKING_HEAD, text)),
            TurnEvent::Text(text) => payloads.extend(self.piece(TEXT_HEAD, text)),
            TurnEvent::Finished(finish) => self.finish(finish, &mut payloads),
        }
        payloads
    }

    /// The payload that tells a client of a failure after the stream has begun; nothing may follow it.
    pub fn failed(&mut self, envelope: &Envelope) -> String {
        self.state = State::Failed;
        envelope.to_json()
    }

    /// The payload `[DONE]`, or none unless the answer is whole: its absence is how a client sees a broken stream.
    pub fn done(&self) -> Option<&'static str> {
        (self.state == State::Finished).then_some("[DONE]")
    }

    fn finish(&mut self, finish: &Finish, payloads: &mut Vec<String>) {
        self.state = State::Finished;
        let reason = finish_reason(finish.reason);
        payloads.push(
            self.chunk(&format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}"#)),
        );
        if self.include_usage {
            let usage = json::to_string(&CompletionUsage::from(&finish.usage));
            payloads.push(format!(r#"{}],"usage":{usage}}}"#, self.head));
        }
    }

    /// The hot path: only the text is escaped, all around it is copied.
    fn piece(&self, delta: &str, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let around = self.head.len() + delta.len() + TEXT_TAIL.len() + self.tail.len();
        let text = json::to_string(text);
        let mut payload = String::with_capacity(around + text.len());
        for piece in [&self.head, delta, &text, TEXT_TAIL, self.tail] {
            payload.push_str(piece);
        }
        Some(payload)
    }

    fn chunk(&self, choice: &str) -> String {
        [&self.head, choice, self.tail].concat()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
