//! An answer as the events of a stream.

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

/// One event of a stream; framing it is left to HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name, which its data repeats.
    pub name: &'static str,
    /// Its data: JSON on one line.
    pub data: String,
}

/// Turns the events of a turn into those of a stream.
///
/// Whatever comes in, what goes out is well-formed: the message begins first and once, its blocks have ascending
/// numbers, each is closed before the next begins, and nothing follows the end.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    shows_thinking: bool,
    state: State,
    /// The block that is open.
    open: Option<Kind>,
    /// The number of the block that is open, or else of the next.
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    Fresh,
    /// The message has begun.
    Open,
    /// The message has ended, or failed; nothing may follow.
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
    /// What is sent in a silence, and once at the beginning: a `ping`.
    pub const PING: &'static str = r#"{"type":"ping"}"#;

    /// An encoder for one answer; without `shows_thinking` only the seals of thoughts are told.
    pub fn new(reply: Reply, shows_thinking: bool) -> Self {
        Self {
            reply,
            shows_thinking,
            state: State::Fresh,
            open: None,
            index: 0,
        }
    }

    /// The events that `event` gives; none for what the stream must not say any more.
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
            // No call to belong to.
            TurnEvent::ToolInput(_) => {}
            TurnEvent::ServerBlock(block) => {
                self.close(&mut events);
                events.push(self.start_written(&block.json));
                self.open = Some(Kind::Server);
            }
            TurnEvent::BlockDelta(delta) if self.open.is_some() => {
                events.push(self.written_delta(&delta.json));
            }
            // No block to belong to.
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

    /// The event that tells a client of a failure after the stream has begun; nothing may follow it.
    pub fn failed(&mut self, envelope: &Envelope<'_>) -> Event {
        self.state = State::Over;
        Event {
            name: "error",
            data: envelope.to_json(),
        }
    }

    /// Whether the last event was told.
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

    /// Sees to it that a block of `kind` is open.
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

    /// Begins a block that is JSON already.
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

    /// A delta that is JSON already.
    fn written_delta(&self, delta: &str) -> Event {
        let index = self.index;
        let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        Event {
            name: "content_block_delta",
            data,
        }
    }

    /// The hot path: only the piece is escaped, all around it is copied.
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
