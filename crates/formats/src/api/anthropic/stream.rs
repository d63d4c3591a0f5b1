//! Encoding of an answer as the events of a stream.

use serde::Serialize;

use super::error::AnthropicError;
use super::json;
use super::types::AnthropicBlock;
use super::types::MessageHead;
use super::types::MessageStop;
use super::types::MessageUsage;
use super::types::as_fields;
use crate::domain::Finish;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Event of a stream; framing is done by the HTTP layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageStreamEvent {
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
pub struct MessageStreamEncoder {
    reply: MessageHead,
    shows_thinking: bool,
    state: MessageStreamState,
    open: Option<OpenBlockKind>,
    /// Index of the open block, or else of the next one.
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageStreamState {
    Fresh,
    Open,
    /// The message has ended, or failed; no event may follow.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenBlockKind {
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
    end: MessageStop<'a>,
    #[serde(flatten, serialize_with = "as_fields")]
    native: &'a [(String, String)],
}

impl MessageStreamEncoder {
    /// Data of a `ping` event, sent at the start and as a keep-alive.
    pub const PING: &'static str = r#"{"type":"ping"}"#;

    /// Creates an encoder for one answer; without `shows_thinking` thinking blocks contain only
    /// their signature.
    pub fn new(reply: MessageHead, shows_thinking: bool) -> Self {
        Self {
            reply,
            shows_thinking,
            state: MessageStreamState::Fresh,
            open: None,
            index: 0,
        }
    }

    /// Encodes `event`; empty if the stream must not send it any more.
    pub fn encode_event(&mut self, event: TurnEvent) -> Vec<MessageStreamEvent> {
        let mut events = Vec::new();
        match self.state {
            MessageStreamState::Over => return events,
            MessageStreamState::Fresh => self.begin(&event, &mut events),
            MessageStreamState::Open => {}
        }
        self.push_events(event, &mut events);
        events
    }

    /// Starts the message with what `event`, the first one, says about it.
    fn begin(&mut self, event: &TurnEvent, events: &mut Vec<MessageStreamEvent>) {
        match event {
            TurnEvent::Started { usage, native, .. } => self.start_message(usage, native, events),
            _ => self.start_message(&Usage::default(), &NativeFields::default(), events),
        }
    }

    fn push_events(&mut self, event: TurnEvent, events: &mut Vec<MessageStreamEvent>) {
        match event {
            TurnEvent::Started { .. } => {}
            TurnEvent::Thinking(piece) => {
                self.open_block(OpenBlockKind::Thinking, events);
                if self.shows_thinking {
                    events.push(self.delta("thinking_delta", "thinking", &piece));
                }
            }
            TurnEvent::ThinkingSignature(signature) => {
                self.open_block(OpenBlockKind::Thinking, events);
                events.push(self.delta("signature_delta", "signature", &signature));
                self.close_block(events);
            }
            TurnEvent::ThinkingRedacted(data) => {
                self.close_block(events);
                events.push(self.start_block(&AnthropicBlock::RedactedThinking { data }));
                events.push(self.stop_block());
            }
            TurnEvent::Text(piece) => {
                self.open_block(OpenBlockKind::Text, events);
                events.push(self.delta("text_delta", "text", &piece));
            }
            TurnEvent::ToolCall { id, name, caller } => {
                self.close_block(events);
                events.push(self.start_block(&AnthropicBlock::call(id, name, caller)));
                self.open = Some(OpenBlockKind::ToolUse);
            }
            TurnEvent::ToolInput(piece) if self.open == Some(OpenBlockKind::ToolUse) => {
                events.push(self.delta("input_json_delta", "partial_json", &piece));
            }
            // There is no call that the input belongs to.
            TurnEvent::ToolInput(_) => {}
            TurnEvent::ServerBlock(block) => {
                self.close_block(events);
                events.push(self.start_native_block(&block.json));
                self.open = Some(OpenBlockKind::Server);
            }
            TurnEvent::BlockDelta(delta) if self.open.is_some() => {
                events.push(self.native_delta(&delta.json));
            }
            // There is no block that the delta belongs to.
            TurnEvent::BlockDelta(_) => {}
            TurnEvent::Citation(citation) => {
                self.open_block(OpenBlockKind::Text, events);
                events.push(self.native_delta(&citation.json));
            }
            TurnEvent::NextText => self.close_block(events),
            TurnEvent::Finished(finish) => self.finish(&finish, events),
        }
    }

    /// Returns the event that reports a failure after the stream has begun, and ends the stream.
    pub fn error_event(&mut self, envelope: &AnthropicError<'_>) -> MessageStreamEvent {
        self.state = MessageStreamState::Over;
        MessageStreamEvent {
            name: "error",
            data: envelope.to_json(),
        }
    }

    /// True if the last event was sent.
    pub fn is_over(&self) -> bool {
        self.state == MessageStreamState::Over
    }

    fn start_message(
        &mut self,
        usage: &Usage,
        native: &NativeFields,
        events: &mut Vec<MessageStreamEvent>,
    ) {
        self.state = MessageStreamState::Open;
        let message = json::to_string(&self.reply.started_message(usage, native));
        let data = format!(r#"{{"type":"message_start","message":{message}}}"#);
        events.push(MessageStreamEvent {
            name: "message_start",
            data,
        });
        events.push(MessageStreamEvent {
            name: "ping",
            data: Self::PING.to_owned(),
        });
    }

    fn finish(&mut self, finish: &Finish, events: &mut Vec<MessageStreamEvent>) {
        self.close_block(events);
        self.state = MessageStreamState::Over;
        let data = json::to_string(&MessageDelta {
            r#type: "message_delta",
            delta: EndDelta {
                end: MessageStop::from_finish(Some(finish)),
                native: &finish.native.message,
            },
            usage: MessageUsage::new(&finish.usage, &finish.native),
            beside: &finish.native.beside,
        });
        events.push(MessageStreamEvent {
            name: "message_delta",
            data,
        });
        events.push(MessageStreamEvent {
            name: "message_stop",
            data: r#"{"type":"message_stop"}"#.to_owned(),
        });
    }

    /// Opens a block of `kind`, unless one is open.
    fn open_block(&mut self, kind: OpenBlockKind, events: &mut Vec<MessageStreamEvent>) {
        if self.open == Some(kind) {
            return;
        }
        self.close_block(events);
        events.push(self.start_block(&match kind {
            OpenBlockKind::Thinking => AnthropicBlock::Thinking {
                thinking: String::new(),
                signature: String::new(),
            },
            OpenBlockKind::Text | OpenBlockKind::ToolUse | OpenBlockKind::Server => {
                AnthropicBlock::Text {
                    text: String::new(),
                    citations: Vec::new(),
                }
            }
        }));
        self.open = Some(kind);
    }

    fn close_block(&mut self, events: &mut Vec<MessageStreamEvent>) {
        if self.open.take().is_some() {
            events.push(self.stop_block());
        }
    }

    fn start_block(&self, block: &AnthropicBlock) -> MessageStreamEvent {
        self.start_native_block(&json::to_string(block))
    }

    /// Starts a block given as JSON.
    fn start_native_block(&self, block: &str) -> MessageStreamEvent {
        let index = self.index;
        let data =
            format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
        MessageStreamEvent {
            name: "content_block_start",
            data,
        }
    }

    fn stop_block(&mut self) -> MessageStreamEvent {
        let data = format!(r#"{{"type":"content_block_stop","index":{}}}"#, self.index);
        self.index += 1;
        MessageStreamEvent {
            name: "content_block_stop",
            data,
        }
    }

    /// Builds the event of a delta given as JSON.
    fn native_delta(&self, delta: &str) -> MessageStreamEvent {
        let index = self.index;
        let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        MessageStreamEvent {
            name: "content_block_delta",
            data,
        }
    }

    /// Hot path: only the piece is escaped, the rest is copied.
    fn delta(&self, kind: &str, field: &str, piece: &str) -> MessageStreamEvent {
        let index = self.index;
        let piece = json::to_string(piece);
        let data = format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{field}":{piece}}}}}"#
        );
        MessageStreamEvent {
            name: "content_block_delta",
            data,
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
