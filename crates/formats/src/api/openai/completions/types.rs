//! Wire types of completions, fields in `OpenAI`'s order.

use serde::Serialize;

use crate::api::openai::chat::CompletionUsage;

/// Object `text_completion`: the whole response, or one chunk of a stream.
#[derive(Serialize)]
pub(super) struct Completion<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<CompletionChoice<'a>>,
    /// Absent, `null` or present; clients distinguish the three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<CompletionUsage>>,
}

#[derive(Serialize)]
pub(super) struct CompletionChoice<'a> {
    pub(super) text: &'a str,
    pub(super) index: usize,
    pub(super) logprobs: (),
    pub(super) finish_reason: Option<&'static str>,
}
