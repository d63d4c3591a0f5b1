//! Events of a turn as messages on the WebSocket that carries many chat turns.

use serde::Serialize;

use super::types::ChatAnnotation;
use super::types::CompletionUsage;
use super::types::finish_reason;
use crate::api::openai::REFUSAL;
use crate::api::openai::citation::CitedText;
use crate::api::openai::json;
use crate::api::request_schema::Remarks;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;

/// Facts about a turn beside its answer, sent with its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChatTurnMetadata {
    /// Resolved id of the answering model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Reason for the choice of the model, if routing chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Response cache status, such as hit or miss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<&'static str>,
    /// Request fields that were dropped: not supported by the model, or not allowed for the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Parts of the request that were adapted for the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<&'static str>,
}

/// Turns the events of one turn into messages that carry its id.
#[derive(Debug)]
pub struct SocketEncoder {
    id: String,
    metadata: ChatTurnMetadata,
    /// Number of tool calls begun.
    call_count: usize,
    /// True if the last tool call has any input yet, or there is none.
    has_input: bool,
    /// Range of the answer text to which the next citation applies.
    cited: CitedText,
}

/// Messages to the client, fields in the order in which they are written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ChatServerMessage<'a> {
    Started {
        id: &'a str,
        model: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        repaired: &'a [&'static str],
    },
    Token {
        id: &'a str,
        content: &'a str,
    },
    Reasoning {
        id: &'a str,
        content: &'a str,
    },
    Annotations {
        id: &'a str,
        annotations: [ChatAnnotation<'a>; 1],
    },
    ToolCall {
        id: &'a str,
        index: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        arguments: &'a str,
    },
    Done {
        id: &'a str,
        finish_reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<CompletionUsage>,
        #[serde(flatten)]
        about: &'a ChatTurnMetadata,
    },
}

impl SocketEncoder {
    /// Creates an encoder for the turn `id`.
    pub fn new(id: String) -> Self {
        Self {
            id,
            metadata: ChatTurnMetadata::default(),
            call_count: 0,
            has_input: true,
            cited: CitedText::default(),
        }
    }

    /// Id of the turn.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets the facts that the last message reports.
    pub fn set_metadata(&mut self, about: ChatTurnMetadata) {
        self.metadata = about;
    }

    /// Returns the first message: the turn is accepted. `model` is the name that the client wrote.
    pub fn started(&self, model: &str, remarks: &Remarks) -> String {
        let Remarks { ignored, repaired } = remarks;
        json::to_string(&ChatServerMessage::Started {
            id: &self.id,
            model,
            ignored,
            repaired,
        })
    }

    /// Returns the messages for `event`.
    pub fn event(&mut self, event: &TurnEvent) -> Vec<String> {
        let mut messages = Vec::new();
        // A call without any input gets an empty object before anything else is sent.
        if !matches!(event, TurnEvent::ToolInput(_)) && !self.has_input {
            messages.push(self.input("{}"));
        }
        self.cited.track_event(event);
        match event {
            TurnEvent::Started { .. }
            | TurnEvent::ThinkingSignature(_)
            | TurnEvent::ThinkingRedacted(_)
            | TurnEvent::ServerBlock(_)
            | TurnEvent::BlockDelta(_)
            | TurnEvent::NextText => {}
            TurnEvent::Citation(citation) => messages.extend(self.annotations(citation)),
            TurnEvent::Thinking(content) => {
                messages.push(json::to_string(&ChatServerMessage::Reasoning {
                    id: &self.id,
                    content,
                }));
            }
            TurnEvent::Text(content) => {
                messages.push(json::to_string(&ChatServerMessage::Token {
                    id: &self.id,
                    content,
                }));
            }
            TurnEvent::ToolCall { id, name, .. } => messages.push(self.call(id, name)),
            TurnEvent::ToolInput(piece) => messages.push(self.input(piece)),
            TurnEvent::Finished(finish) => messages.push(self.finish(finish)),
        }
        messages
    }

    /// Returns the last message of a turn that the client cancelled.
    pub fn cancelled(&self) -> String {
        self.done("cancelled", None, None)
    }

    /// Returns the message for a citation; none unless its source is on the web.
    fn annotations(&self, citation: &Citation) -> Option<String> {
        let citation = self.cited.url_citation(citation)?;
        let annotations = [ChatAnnotation::from(&citation)];
        Some(json::to_string(&ChatServerMessage::Annotations {
            id: &self.id,
            annotations,
        }))
    }

    fn call(&mut self, call_id: &str, name: &str) -> String {
        let index = self.call_count;
        self.call_count += 1;
        self.has_input = false;
        let call_id = Some(call_id);
        let name = Some(name);
        json::to_string(&ChatServerMessage::ToolCall {
            id: &self.id,
            index,
            call_id,
            name,
            arguments: "",
        })
    }

    fn input(&mut self, arguments: &str) -> String {
        self.has_input = true;
        let index = self.call_count.saturating_sub(1);
        json::to_string(&ChatServerMessage::ToolCall {
            id: &self.id,
            index,
            call_id: None,
            name: None,
            arguments,
        })
    }

    fn finish(&self, finish: &Finish) -> String {
        let refusal = (finish.reason == FinishReason::ContentFilter).then_some(REFUSAL);
        self.done(
            finish_reason(finish.reason),
            refusal,
            Some((&finish.usage).into()),
        )
    }

    fn done(
        &self,
        finish_reason: &'static str,
        refusal: Option<&'static str>,
        usage: Option<CompletionUsage>,
    ) -> String {
        json::to_string(&ChatServerMessage::Done {
            id: &self.id,
            finish_reason,
            refusal,
            usage,
            about: &self.metadata,
        })
    }
}
