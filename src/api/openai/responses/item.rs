//! Output item under construction, and its stream events.

use super::client_call::ClientCall;
use super::events::AnnotationAdded;
use super::events::ContentPart;
use super::events::Delta;
use super::events::Event;
use super::events::ItemAt;
use super::events::Refusal;
use super::events::Sequence;
use super::events::SummaryPart;
use super::events::Text;
use super::events::TextDelta;
use super::events::TextDone;
use super::events::Told;
use super::events::Within;
use super::events::in_message;
use super::events::in_summary;
use super::id;
use super::sealed::Sealed;
use super::server_call::ServerCall;
use super::types::Annotation;
use super::types::Content;
use super::types::Item;
use super::types::Status;
use super::types::Summary;
use crate::api::openai::citation::CitedText;
use crate::domain::Citation;
use crate::domain::TurnEvent;

/// Kind of an output item under construction.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Message,
    Refusal,
    /// Thinking; clients can only send it back with its encrypted content.
    Thinking {
        is_shown: bool,
        seal: Option<Sealed>,
    },
    /// Call of a client tool.
    Call(ClientCall),
    /// Call of a server tool, which Anthropic runs.
    Server(ServerCall),
}

impl Kind {
    fn prefix(&self) -> &'static str {
        match self {
            Self::Message | Self::Refusal => "msg",
            Self::Thinking { .. } => "rs",
            Self::Call(call) => call.prefix(),
            Self::Server(call) => call.prefix(),
        }
    }
}

/// Output item that is still open.
#[derive(Debug)]
pub(super) struct Open {
    id: String,
    /// Index of the item in the output.
    index: usize,
    kind: Kind,
    /// Text or thinking received so far.
    text: String,
    annotations: Vec<Annotation>,
    cited: CitedText,
}

impl Open {
    /// Opens item `index` of the output of `response` and appends its first events.
    pub(super) fn new(
        kind: Kind,
        response: &str,
        index: usize,
        sequence: &mut Sequence,
        events: &mut Vec<Event>,
    ) -> Self {
        let mut open = Self {
            id: id::output(kind.prefix(), response, index),
            index,
            kind,
            text: String::new(),
            annotations: Vec::new(),
            cited: CitedText::default(),
        };
        let item = open.item(Status::InProgress);
        events.push(sequence.event(
            "response.output_item.added",
            &ItemAt {
                output_index: index,
                item: &item,
            },
        ));
        match &open.kind {
            Kind::Message | Kind::Refusal => {
                let empty = open.content();
                let part = in_message(ContentPart { part: &empty });
                events.push(sequence.event("response.content_part.added", &open.within(part)));
            }
            Kind::Thinking { is_shown: true, .. } => {
                let empty = Summary::Text {
                    text: String::new(),
                };
                let part = in_summary(SummaryPart { part: &empty });
                events.push(
                    sequence.event("response.reasoning_summary_part.added", &open.within(part)),
                );
            }
            Kind::Server(_) | Kind::Thinking { .. } | Kind::Call(_) => {}
        }
        let told = open
            .server_call()
            .map(ServerCall::begin)
            .unwrap_or_default();
        open.tell(&told, sequence, events);
        open
    }

    /// True if content of `kind` continues this item.
    pub(super) fn takes(&self, kind: &Kind) -> bool {
        match (&self.kind, kind) {
            (Kind::Message, Kind::Message)
            | (Kind::Thinking { seal: None, .. }, Kind::Thinking { .. }) => true,
            (
                Kind::Message
                | Kind::Refusal
                | Kind::Thinking { .. }
                | Kind::Call(_)
                | Kind::Server(_),
                _,
            ) => false,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call(_))
    }

    /// Returns the server tool call, if the item is one.
    pub(super) fn server_call(&mut self) -> Option<&mut ServerCall> {
        if let Kind::Server(call) = &mut self.kind {
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
        events: &mut Vec<Event>,
    ) {
        let told = match &mut self.kind {
            Kind::Server(call) => call.push(piece),
            Kind::Call(call) => call.push(piece).into_iter().collect(),
            Kind::Message | Kind::Refusal | Kind::Thinking { .. } => Vec::new(),
        };
        self.tell(&told, sequence, events);
    }

    fn tell(&self, told: &[Told], sequence: &mut Sequence, events: &mut Vec<Event>) {
        events.extend(
            told.iter()
                .map(|(name, body)| sequence.event(*name, &self.within(body))),
        );
    }

    /// Tracks the text blocks, for the ranges of later citations.
    pub(super) fn follow(&mut self, event: &TurnEvent) {
        self.cited.note(event);
    }

    /// Adds a citation to a message.
    pub(super) fn cite(
        &mut self,
        citation: &Citation,
        sequence: &mut Sequence,
        events: &mut Vec<Event>,
    ) {
        let Some(citation) = self.cited.cite(citation) else {
            return;
        };
        let annotation = Annotation::UrlCitation(citation);
        let added = in_message(AnnotationAdded {
            annotation_index: self.annotations.len(),
            annotation: &annotation,
        });
        events.push(sequence.event("response.output_text.annotation.added", &self.within(added)));
        self.annotations.push(annotation);
    }

    /// Attaches the signature to open thinking; returns false for any other item.
    pub(super) fn seal(&mut self, signature: &str) -> bool {
        let Kind::Thinking { seal, .. } = &mut self.kind else {
            return false;
        };
        *seal = Some(Sealed::Thinking {
            text: self.text.clone(),
            signature: signature.to_owned(),
        });
        true
    }

    /// Appends a piece of text or thinking.
    pub(super) fn push(&mut self, piece: &str, sequence: &mut Sequence, events: &mut Vec<Event>) {
        self.text.push_str(piece);
        events.extend(match &self.kind {
            Kind::Message => {
                let delta = in_message(TextDelta {
                    delta: piece,
                    logprobs: [],
                });
                Some(sequence.event("response.output_text.delta", &self.within(delta)))
            }
            Kind::Refusal => {
                let delta = in_message(Delta { delta: piece });
                Some(sequence.event("response.refusal.delta", &self.within(delta)))
            }
            Kind::Thinking { is_shown: true, .. } => {
                let delta = in_summary(Delta { delta: piece });
                Some(sequence.event("response.reasoning_summary_text.delta", &self.within(delta)))
            }
            Kind::Thinking { .. } | Kind::Server(_) | Kind::Call(_) => None,
        });
    }

    /// Closes the item: appends its final events and returns it.
    pub(super) fn close(
        mut self,
        status: Status,
        sequence: &mut Sequence,
        events: &mut Vec<Event>,
    ) -> Item {
        let (status, told) = match &mut self.kind {
            Kind::Server(call) => call.end(status),
            Kind::Call(call) => (status, call.end(status)),
            Kind::Message | Kind::Refusal | Kind::Thinking { .. } => (status, Vec::new()),
        };
        self.tell(&told, sequence, events);
        let item = self.item(status);
        match &item {
            Item::Message { content, .. } => {
                for part in content {
                    events.push(match part {
                        Content::OutputText { text, .. } => {
                            let done = in_message(TextDone { text, logprobs: [] });
                            sequence.event("response.output_text.done", &self.within(done))
                        }
                        Content::Refusal { refusal } => {
                            let done = in_message(Refusal { refusal });
                            sequence.event("response.refusal.done", &self.within(done))
                        }
                    });
                    let part = in_message(ContentPart { part });
                    events.push(sequence.event("response.content_part.done", &self.within(part)));
                }
            }
            Item::Reasoning { summary, .. } => {
                for part in summary {
                    let done = in_summary(Text { text: &self.text });
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
        let whole = ItemAt {
            output_index: self.index,
            item: &item,
        };
        events.push(sequence.event("response.output_item.done", &whole));
        item
    }

    fn within<B>(&self, body: B) -> Within<'_, B> {
        Within {
            item_id: &self.id,
            output_index: self.index,
            body,
        }
    }

    /// Builds the current content part of a message.
    fn content(&self) -> Content {
        match self.kind {
            Kind::Refusal => Content::Refusal {
                refusal: self.text.clone(),
            },
            Kind::Message | Kind::Thinking { .. } | Kind::Call(_) | Kind::Server(_) => {
                Content::OutputText {
                    text: self.text.clone(),
                    annotations: self.annotations.clone(),
                    logprobs: [],
                }
            }
        }
    }

    /// Builds the current item; parts are left out while it is in progress.
    fn item(&self, status: Status) -> Item {
        let is_open = status == Status::InProgress;
        let id = self.id.clone();
        match &self.kind {
            Kind::Message | Kind::Refusal => {
                let content = if is_open {
                    Vec::new()
                } else {
                    vec![self.content()]
                };
                Item::Message {
                    id,
                    status,
                    role: "assistant".to_owned(),
                    content,
                }
            }
            Kind::Thinking { is_shown, seal } => {
                let text = Summary::Text {
                    text: self.text.clone(),
                };
                let summary = if *is_shown && !is_open {
                    vec![text]
                } else {
                    Vec::new()
                };
                let encrypted_content = seal.as_ref().map(Sealed::to_text);
                Item::Reasoning {
                    id,
                    summary,
                    encrypted_content,
                    status,
                }
            }
            Kind::Call(call) => call.item(id, status),
            Kind::Server(call) => call.item(id, status),
        }
    }
}
