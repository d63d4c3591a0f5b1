//! Encoding of an answer as the events of a stream.

use serde::Serialize;

use super::error::Envelope;
use super::json;
use super::types::Block;
use super::types::Ending;
use super::types::MessageUsage;
use super::types::Reply;
use super::types::as_fields;
use crate::domain::Finish;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Event of a stream; framing is done by the HTTP layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Name of the event, which the data repeats.
    pub name: &'static str,
    /// Data of the event: JSON on one line.
    pub data: String,
}

/// Encoder of turn events as stream events.
///
/// The output is well-formed for any input: the message starts first and once, its blocks have
/// ascending indexes, each is closed before the next starts, and no event follows the end.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    shows_thinking: bool,
    state: State,
    open: Option<Kind>,
    /// Index of the open block, or else of the next one.
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Open,
    /// The message has ended, or failed; no event may follow.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    ToolUse,
    Server,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    r#type: &'static str,
    delta: EndDelta<'a>,
    usage: MessageUsage<'a>,
    #[serde(flatten, serialize_with = "as_fields")]
    beside: &'a [(String, String)],
}

#[derive(Serialize)]
struct EndDelta<'a> {
    #[serde(flatten)]
    end: Ending<'a>,
    #[serde(flatten, serialize_with = "as_fields")]
    native: &'a [(String, String)],
}

impl StreamEncoder {
    /// Data of a `ping` event, sent at the start and as a keep-alive.
    pub const PING: &'static str = r#"{"type":"ping"}"#;

    /// Creates an encoder for one answer; without `shows_thinking` thinking blocks contain only
    /// their signature.
    pub fn new(reply: Reply, shows_thinking: bool) -> Self {
        Self {
            reply,
            shows_thinking,
            state: State::Fresh,
            open: None,
            index: 0,
        }
    }

    /// Encodes `event`; empty if the stream must not send it any more.
    pub fn event(&mut self, event: TurnEvent) -> Vec<Event> {
        let mut events = Vec::new();
        match self.state {
            State::Over => return events,
            State::Fresh => match &event {
                TurnEvent::Started { usage, native, .. } => self.begin(usage, native, &mut events),
                _ => self.begin(&Usage::default(), &NativeFields::default(), &mut events),
            },
            State::Open => {}
        }
        match event {
            TurnEvent::Started { .. } => {}
            TurnEvent::Thinking(piece) => {
                self.ensure(Kind::Thinking, &mut events);
                if self.shows_thinking {
                    events.push(self.delta("thinking_delta", "thinking", &piece));
                }
            }
            TurnEvent::ThinkingSealed(seal) => {
                self.ensure(Kind::Thinking, &mut events);
                events.push(self.delta("signature_delta", "signature", &seal));
                self.close(&mut events);
            }
            TurnEvent::ThinkingRedacted(data) => {
                self.close(&mut events);
                events.push(self.start(&Block::RedactedThinking { data }));
                events.push(self.stop());
            }
            TurnEvent::Text(piece) => {
                self.ensure(Kind::Text, &mut events);
                events.push(self.delta("text_delta", "text", &piece));
            }
            TurnEvent::ToolCall { id, name, caller } => {
                self.close(&mut events);
                events.push(self.start(&Block::call(id, name, caller)));
                self.open = Some(Kind::ToolUse);
            }
            TurnEvent::ToolInput(piece) if self.open == Some(Kind::ToolUse) => {
                events.push(self.delta("input_json_delta", "partial_json", &piece));
            }
            // There is no call that the input belongs to.
            TurnEvent::ToolInput(_) => {}
            TurnEvent::ServerBlock(block) => {
                self.close(&mut events);
                events.push(self.start_written(&block.json));
                self.open = Some(Kind::Server);
            }
            TurnEvent::BlockDelta(delta) if self.open.is_some() => {
                events.push(self.written_delta(&delta.json));
            }
            // There is no block that the delta belongs to.
            TurnEvent::BlockDelta(_) => {}
            TurnEvent::Citation(citation) => {
                self.ensure(Kind::Text, &mut events);
                events.push(self.written_delta(&citation.json));
            }
            TurnEvent::NextText => self.close(&mut events),
            TurnEvent::Finished(finish) => self.finish(&finish, &mut events),
        }
        events
    }

    /// Returns the event that reports a failure after the stream has begun, and ends the stream.
    pub fn failed(&mut self, envelope: &Envelope<'_>) -> Event {
        self.state = State::Over;
        Event {
            name: "error",
            data: envelope.to_json(),
        }
    }

    /// True if the last event was sent.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn begin(&mut self, usage: &Usage, native: &NativeFields, events: &mut Vec<Event>) {
        self.state = State::Open;
        let message = json::to_string(&self.reply.begun(usage, native));
        let data = format!(r#"{{"type":"message_start","message":{message}}}"#);
        events.push(Event {
            name: "message_start",
            data,
        });
        events.push(Event {
            name: "ping",
            data: Self::PING.to_owned(),
        });
    }

    fn finish(&mut self, finish: &Finish, events: &mut Vec<Event>) {
        self.close(events);
        self.state = State::Over;
        let data = json::to_string(&MessageDelta {
            r#type: "message_delta",
            delta: EndDelta {
                end: Ending::of(Some(finish)),
                native: &finish.native.message,
            },
            usage: MessageUsage::new(&finish.usage, &finish.native),
            beside: &finish.native.beside,
        });
        events.push(Event {
            name: "message_delta",
            data,
        });
        events.push(Event {
            name: "message_stop",
            data: r#"{"type":"message_stop"}"#.to_owned(),
        });
    }

    /// Opens a block of `kind`, unless one is open.
    fn ensure(&mut self, kind: Kind, events: &mut Vec<Event>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(events);
        events.push(self.start(&match kind {
            Kind::Thinking => Block::Thinking {
                thinking: String::new(),
                signature: String::new(),
            },
            Kind::Text | Kind::ToolUse | Kind::Server => Block::Text {
                text: String::new(),
                citations: Vec::new(),
            },
        }));
        self.open = Some(kind);
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if self.open.take().is_some() {
            events.push(self.stop());
        }
    }

    fn start(&self, block: &Block) -> Event {
        self.start_written(&json::to_string(block))
    }

    /// Starts a block given as JSON.
    fn start_written(&self, block: &str) -> Event {
        let index = self.index;
        let data =
            format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
        Event {
            name: "content_block_start",
            data,
        }
    }

    fn stop(&mut self) -> Event {
        let data = format!(r#"{{"type":"content_block_stop","index":{}}}"#, self.index);
        self.index += 1;
        Event {
            name: "content_block_stop",
            data,
        }
    }

    /// Builds the event of a delta given as JSON.
    fn written_delta(&self, delta: &str) -> Event {
        let index = self.index;
        let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        Event {
            name: "content_block_delta",
            data,
        }
    }

    /// Hot path: only the piece is escaped, the rest is copied.
    fn delta(&self, kind: &str, field: &str, piece: &str) -> Event {
        let (index, piece) = (self.index, json::to_string(piece));
        let data = format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{field}":{piece}}}}}"#
        );
        Event {
            name: "content_block_delta",
            data,
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
