//! The wire form of answers, fields in `OpenAI`'s order.

use serde::Serialize;

use crate::api::openai::chat::CompletionUsage;

/// `text_completion`, the whole answer as well as a piece of a stream.
#[derive(Serialize)]
pub(super) struct Completion<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<Choice<'a>>,
    /// Absent, `null`, or there, which clients tell apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<CompletionUsage>>,
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    pub(super) text: &'a str,
    pub(super) index: usize,
    pub(super) logprobs: (),
    pub(super) finish_reason: Option<&'static str>,
}
