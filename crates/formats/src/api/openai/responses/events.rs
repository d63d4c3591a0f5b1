//! Stream events, each with its name and JSON payload.

use std::borrow::Cow;

use serde::Serialize;

use super::types::ReasoningSummary;
use super::types::Response;
use super::types::ResponseAnnotation;
use super::types::ResponseContent;
use super::types::ResponseItem;
use crate::api::openai::json;

/// Event of a response stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseEvent {
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
    ) -> ResponseEvent {
        let name = name.into();
        let event = NumberedResponseEvent {
            r#type: &name,
            sequence_number: self.0,
            body,
        };
        self.0 += 1;
        ResponseEvent {
            data: json::to_string(&event),
            name,
        }
    }

    /// Reuses the number of the last event, which was not sent, for the next one.
    pub(super) fn reuse_last_number(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

#[derive(Serialize)]
struct NumberedResponseEvent<'a, B> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: &'a B,
}

#[derive(Serialize)]
pub(super) struct ResponseSnapshot<'a> {
    pub(super) response: &'a Response,
}

#[derive(Serialize)]
pub(super) struct OutputItemEvent<'a> {
    pub(super) output_index: usize,
    pub(super) item: &'a ResponseItem,
}

/// Event body within an output item.
#[derive(Serialize)]
pub(super) struct InOutputItem<'a, B> {
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
    pub(super) part: &'a ResponseContent,
}

#[derive(Serialize)]
pub(super) struct SummaryPart<'a> {
    pub(super) part: &'a ReasoningSummary,
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
pub(super) struct ResponseDelta<'a> {
    pub(super) delta: &'a str,
}

#[derive(Serialize)]
pub(super) struct SummaryTextDone<'a> {
    pub(super) text: &'a str,
}

#[derive(Serialize)]
pub(super) struct RefusalDone<'a> {
    pub(super) refusal: &'a str,
}

/// Name and body of an event within the item of a tool call.
pub(super) type ItemEvent = (&'static str, ItemEventBody);

/// Body of an event within the item of a tool call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum ItemEventBody {
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
    pub(super) annotation: &'a ResponseAnnotation,
}

/// Body of the `error` event.
#[derive(Serialize)]
pub(super) struct ResponseErrorEvent<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) param: Option<&'a str>,
}
