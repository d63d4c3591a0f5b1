//! Stream events, each with its name and JSON payload.

use std::borrow::Cow;

use serde::Serialize;

use super::types::Annotation;
use super::types::Content;
use super::types::Item;
use super::types::Response;
use super::types::Summary;
use crate::api::openai::json;

/// Event of a response stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Event type, such as `response.created`.
    pub name: Cow<'static, str>,
    /// JSON payload, without line breaks.
    pub data: String,
}

/// Serializes events with consecutive sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) fn event(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        body: &impl Serialize,
    ) -> Event {
        let name = name.into();
        let event = Numbered {
            r#type: &name,
            sequence_number: self.0,
            body,
        };
        self.0 += 1;
        Event {
            data: json::to_string(&event),
            name,
        }
    }

    /// Reuses the number of the last event, which was not sent, for the next one.
    pub(super) fn take_back(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

#[derive(Serialize)]
struct Numbered<'a, B> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: &'a B,
}

#[derive(Serialize)]
pub(super) struct Whole<'a> {
    pub(super) response: &'a Response,
}

#[derive(Serialize)]
pub(super) struct ItemAt<'a> {
    pub(super) output_index: usize,
    pub(super) item: &'a Item,
}

/// Event body within an output item.
#[derive(Serialize)]
pub(super) struct Within<'a, B> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    #[serde(flatten)]
    pub(super) body: B,
}

/// Event body within the single content part of a message.
#[derive(Serialize)]
pub(super) struct InMessage<B> {
    content_index: u32,
    #[serde(flatten)]
    body: B,
}

/// Event body within the single summary part of a reasoning item.
#[derive(Serialize)]
pub(super) struct InSummary<B> {
    summary_index: u32,
    #[serde(flatten)]
    body: B,
}

pub(super) fn in_message<B>(body: B) -> InMessage<B> {
    InMessage {
        content_index: 0,
        body,
    }
}

pub(super) fn in_summary<B>(body: B) -> InSummary<B> {
    InSummary {
        summary_index: 0,
        body,
    }
}

#[derive(Serialize)]
pub(super) struct ContentPart<'a> {
    pub(super) part: &'a Content,
}

#[derive(Serialize)]
pub(super) struct SummaryPart<'a> {
    pub(super) part: &'a Summary,
}

#[derive(Serialize)]
pub(super) struct TextDelta<'a> {
    pub(super) delta: &'a str,
    pub(super) logprobs: [(); 0],
}

#[derive(Serialize)]
pub(super) struct TextDone<'a> {
    pub(super) text: &'a str,
    pub(super) logprobs: [(); 0],
}

#[derive(Serialize)]
pub(super) struct Delta<'a> {
    pub(super) delta: &'a str,
}

#[derive(Serialize)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
}

#[derive(Serialize)]
pub(super) struct Refusal<'a> {
    pub(super) refusal: &'a str,
}

/// Name and body of an event within the item of a tool call.
pub(super) type Told = (&'static str, Body);

/// Body of an event within the item of a tool call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    Delta { delta: String },
    Code { code: String },
    Arguments { arguments: String },
    Call { name: String, arguments: String },
    Input { input: String },
    Nothing {},
}

/// Citation added to a message.
#[derive(Serialize)]
pub(super) struct AnnotationAdded<'a> {
    pub(super) annotation_index: usize,
    pub(super) annotation: &'a Annotation,
}

/// Body of the `error` event.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) param: Option<&'a str>,
}
