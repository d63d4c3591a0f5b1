//! Output item under construction, and its stream events.

use super::client_call::ClientCall;
use super::encrypted_content::EncryptedContent;
use super::events::AnnotationAdded;
use super::events::ContentPart;
use super::events::InOutputItem;
use super::events::ItemEvent;
use super::events::OutputItemEvent;
use super::events::RefusalDone;
use super::events::ResponseDelta;
use super::events::ResponseEvent;
use super::events::Sequence;
use super::events::SummaryPart;
use super::events::SummaryTextDone;
use super::events::TextDelta;
use super::events::TextDone;
use super::events::in_message;
use super::events::in_summary;
use super::id;
use super::server_call::ServerCall;
use super::types::ReasoningSummary;
use super::types::ResponseAnnotation;
use super::types::ResponseContent;
use super::types::ResponseItem;
use super::types::ResponseStatus;
use crate::api::openai::citation::CitedText;
use crate::domain::Citation;
use crate::domain::TurnEvent;

/// Kind of an output item under construction.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OutputItemKind {
    Message,
    Refusal,
    /// Thinking; clients can only send it back with its encrypted content.
    Thinking {
        is_shown: bool,
        encrypted_content: Option<EncryptedContent>,
    },
    /// Call of a client tool.
    Call(ClientCall),
    /// Call of a server tool, which Anthropic runs.
    Server(ServerCall),
}

impl OutputItemKind {
    fn id_prefix(&self) -> &'static str {
        match self {
            Self::Message | Self::Refusal => "msg",
            Self::Thinking { .. } => "rs",
            Self::Call(call) => call.id_prefix(),
            Self::Server(call) => call.id_prefix(),
        }
    }
}

/// Output item that is still open.
#[derive(Debug)]
pub(super) struct OpenOutputItem {
    id: String,
    /// Index of the item in the output.
    index: usize,
    kind: OutputItemKind,
    /// Text or thinking received so far.
    text: String,
    annotations: Vec<ResponseAnnotation>,
    cited: CitedText,
}

impl OpenOutputItem {
    /// Opens item `index` of the output of `response` and appends its first events.
    pub(super) fn new(
        kind: OutputItemKind,
        response: &str,
        index: usize,
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) -> Self {
        let mut open = Self {
            id: id::output_item_id(kind.id_prefix(), response, index),
            index,
            kind,
            text: String::new(),
            annotations: Vec::new(),
            cited: CitedText::default(),
        };
        let item = open.item(ResponseStatus::InProgress);
        events.push(sequence.event(
            "response.output_item.added",
            &OutputItemEvent {
                output_index: index,
                item: &item,
            },
        ));
        match &open.kind {
            OutputItemKind::Message | OutputItemKind::Refusal => {
                let empty = open.content();
                let part = in_message(ContentPart { part: &empty });
                events.push(sequence.event("response.content_part.added", &open.within(part)));
            }
            OutputItemKind::Thinking { is_shown: true, .. } => {
                let empty = ReasoningSummary::Text {
                    text: String::new(),
                };
                let part = in_summary(SummaryPart { part: &empty });
                events.push(
                    sequence.event("response.reasoning_summary_part.added", &open.within(part)),
                );
            }
            OutputItemKind::Server(_)
            | OutputItemKind::Thinking { .. }
            | OutputItemKind::Call(_) => {}
        }
        let item_events = open
            .server_call()
            .map(ServerCall::begin)
            .unwrap_or_default();
        open.push_events(&item_events, sequence, events);
        open
    }

    /// True if content of `kind` continues this item.
    pub(super) fn accepts(&self, kind: &OutputItemKind) -> bool {
        match (&self.kind, kind) {
            (OutputItemKind::Message, OutputItemKind::Message)
            | (
                OutputItemKind::Thinking {
                    encrypted_content: None,
                    ..
                },
                OutputItemKind::Thinking { .. },
            ) => true,
            (
                OutputItemKind::Message
                | OutputItemKind::Refusal
                | OutputItemKind::Thinking { .. }
                | OutputItemKind::Call(_)
                | OutputItemKind::Server(_),
                _,
            ) => false,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.kind, OutputItemKind::Call(_))
    }

    /// Returns the server tool call, if the item is one.
    pub(super) fn server_call(&mut self) -> Option<&mut ServerCall> {
        if let OutputItemKind::Server(call) = &mut self.kind {
            Some(call)
        } else {
            None
        }
    }

    /// Appends a piece of the input of a tool call.
    pub(super) fn push_input(
        &mut self,
        piece: &str,
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) {
        let item_events = match &mut self.kind {
            OutputItemKind::Server(call) => call.push(piece),
            OutputItemKind::Call(call) => call.push(piece).into_iter().collect(),
            OutputItemKind::Message | OutputItemKind::Refusal | OutputItemKind::Thinking { .. } => {
                Vec::new()
            }
        };
        self.push_events(&item_events, sequence, events);
    }

    fn push_events(
        &self,
        item_events: &[ItemEvent],
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) {
        events.extend(
            item_events
                .iter()
                .map(|(name, body)| sequence.event(*name, &self.within(body))),
        );
    }

    /// Tracks the text blocks, for the ranges of later citations.
    pub(super) fn track_event(&mut self, event: &TurnEvent) {
        self.cited.track_event(event);
    }

    /// Adds a citation to a message.
    pub(super) fn add_citation(
        &mut self,
        citation: &Citation,
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) {
        let Some(citation) = self.cited.url_citation(citation) else {
            return;
        };
        let annotation = ResponseAnnotation::UrlCitation(citation);
        let added = in_message(AnnotationAdded {
            annotation_index: self.annotations.len(),
            annotation: &annotation,
        });
        events.push(sequence.event("response.output_text.annotation.added", &self.within(added)));
        self.annotations.push(annotation);
    }

    /// Attaches the signature to open thinking; returns false for any other item.
    pub(super) fn attach_signature(&mut self, signature: &str) -> bool {
        let OutputItemKind::Thinking {
            encrypted_content, ..
        } = &mut self.kind
        else {
            return false;
        };
        *encrypted_content = Some(EncryptedContent::Thinking {
            text: self.text.clone(),
            signature: signature.to_owned(),
        });
        true
    }

    /// Appends a piece of text or thinking.
    pub(super) fn push(
        &mut self,
        piece: &str,
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) {
        self.text.push_str(piece);
        events.extend(match &self.kind {
            OutputItemKind::Message => {
                let delta = in_message(TextDelta {
                    delta: piece,
                    logprobs: [],
                });
                Some(sequence.event("response.output_text.delta", &self.within(delta)))
            }
            OutputItemKind::Refusal => {
                let delta = in_message(ResponseDelta { delta: piece });
                Some(sequence.event("response.refusal.delta", &self.within(delta)))
            }
            OutputItemKind::Thinking { is_shown: true, .. } => {
                let delta = in_summary(ResponseDelta { delta: piece });
                Some(sequence.event("response.reasoning_summary_text.delta", &self.within(delta)))
            }
            OutputItemKind::Thinking { .. }
            | OutputItemKind::Server(_)
            | OutputItemKind::Call(_) => None,
        });
    }

    /// Closes the item: appends its final events and returns it.
    pub(super) fn close(
        mut self,
        status: ResponseStatus,
        sequence: &mut Sequence,
        events: &mut Vec<ResponseEvent>,
    ) -> ResponseItem {
        let (status, item_events) = match &mut self.kind {
            OutputItemKind::Server(call) => call.end(status),
            OutputItemKind::Call(call) => (status, call.end(status)),
            OutputItemKind::Message | OutputItemKind::Refusal | OutputItemKind::Thinking { .. } => {
                (status, Vec::new())
            }
        };
        self.push_events(&item_events, sequence, events);
        let item = self.item(status);
        match &item {
            ResponseItem::Message { content, .. } => {
                for part in content {
                    events.push(match part {
                        ResponseContent::OutputText { text, .. } => {
                            let done = in_message(TextDone { text, logprobs: [] });
                            sequence.event("response.output_text.done", &self.within(done))
                        }
                        ResponseContent::Refusal { refusal } => {
                            let done = in_message(RefusalDone { refusal });
                            sequence.event("response.refusal.done", &self.within(done))
                        }
                    });
                    let part = in_message(ContentPart { part });
                    events.push(sequence.event("response.content_part.done", &self.within(part)));
                }
            }
            ResponseItem::Reasoning { summary, .. } => {
                for part in summary {
                    let done = in_summary(SummaryTextDone { text: &self.text });
                    events.push(
                        sequence.event("response.reasoning_summary_text.done", &self.within(done)),
                    );
                    let part = in_summary(SummaryPart { part });
                    events.push(
                        sequence.event("response.reasoning_summary_part.done", &self.within(part)),
                    );
                }
            }
            // Other items are tool calls, whose final events are already appended.
            _ => {}
        }
        let whole = OutputItemEvent {
            output_index: self.index,
            item: &item,
        };
        events.push(sequence.event("response.output_item.done", &whole));
        item
    }

    fn within<B>(&self, body: B) -> InOutputItem<'_, B> {
        InOutputItem {
            item_id: &self.id,
            output_index: self.index,
            body,
        }
    }

    /// Builds the current content part of a message.
    fn content(&self) -> ResponseContent {
        match self.kind {
            OutputItemKind::Refusal => ResponseContent::Refusal {
                refusal: self.text.clone(),
            },
            OutputItemKind::Message
            | OutputItemKind::Thinking { .. }
            | OutputItemKind::Call(_)
            | OutputItemKind::Server(_) => ResponseContent::OutputText {
                text: self.text.clone(),
                annotations: self.annotations.clone(),
                logprobs: [],
            },
        }
    }

    /// Builds the current item; parts are left out while it is in progress.
    fn item(&self, status: ResponseStatus) -> ResponseItem {
        let is_open = status == ResponseStatus::InProgress;
        let id = self.id.clone();
        match &self.kind {
            OutputItemKind::Message | OutputItemKind::Refusal => {
                let content = if is_open {
                    Vec::new()
                } else {
                    vec![self.content()]
                };
                ResponseItem::Message {
                    id,
                    status,
                    role: "assistant".to_owned(),
                    content,
                }
            }
            OutputItemKind::Thinking {
                is_shown,
                encrypted_content,
            } => {
                let text = ReasoningSummary::Text {
                    text: self.text.clone(),
                };
                let summary = if *is_shown && !is_open {
                    vec![text]
                } else {
                    Vec::new()
                };
                let encrypted_content = encrypted_content.as_ref().map(EncryptedContent::to_text);
                ResponseItem::Reasoning {
                    id,
                    summary,
                    encrypted_content,
                    status,
                }
            }
            OutputItemKind::Call(call) => call.item(id, status),
            OutputItemKind::Server(call) => call.item(id, status),
        }
    }
}
