//! Wire types of the chunks of a streamed chat completion.

use serde::Serialize;

use super::types::ChatAnnotation;
use super::types::CompletionUsage;

/// Object `chat.completion.chunk`.
#[derive(Serialize)]
pub(super) struct ChatChunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: &'a [ChatChunkChoice<'a>],
    /// Absent unless the client asked for the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<ChunkUsage>,
}

/// Usage in the chunks of a client that asked for it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ChunkUsage {
    /// `null`, in all chunks but the last.
    Pending,
    /// Sum of all choices, in the last chunk.
    Total(CompletionUsage),
}

#[derive(Serialize)]
pub(super) struct ChatChunkChoice<'a> {
    pub(super) index: usize,
    pub(super) delta: ChatDelta<'a>,
    pub(super) logprobs: (),
    pub(super) finish_reason: Option<&'static str>,
}

/// Change of a choice by one chunk.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ChatDelta<'a> {
    /// First change of each choice.
    Role {
        role: &'static str,
        content: &'static str,
        refusal: (),
    },
    Content {
        content: &'a str,
    },
    Reasoning {
        reasoning_content: &'a str,
    },
    Refusal {
        refusal: &'a str,
    },
    Annotation {
        annotations: [ChatAnnotation<'a>; 1],
    },
    ToolCall {
        tool_calls: [ToolCallDelta<'a>; 1],
    },
    /// Call in the deprecated format.
    FunctionCall {
        function_call: FunctionCallDelta<'a>,
    },
    /// Change of the chunk with the finish reason.
    Empty {},
}

#[derive(Serialize)]
pub(super) struct ToolCallDelta<'a> {
    pub(super) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    #[serde(flatten)]
    pub(super) call: CallDelta<'a>,
}

/// Beginning of a call, with its name, or a piece of its input.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallDelta<'a> {
    Function(FunctionCallDelta<'a>),
    Custom(CustomCallDelta<'a>),
}

#[derive(Serialize)]
pub(super) struct FunctionCallDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

#[derive(Serialize)]
pub(super) struct CustomCallDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) input: &'a str,
}

impl<'a> ChatDelta<'a> {
    /// First change of each choice.
    pub(super) const ROLE: Self = Self::Role {
        role: "assistant",
        content: "",
        refusal: (),
    };

    /// Begins tool call number `index`.
    pub(super) fn begin_call(
        index: usize,
        id: &'a str,
        kind: &'static str,
        call: CallDelta<'a>,
    ) -> Self {
        Self::ToolCall {
            tool_calls: [ToolCallDelta {
                index,
                id: Some(id),
                r#type: Some(kind),
                call,
            }],
        }
    }

    /// Adds a piece to the input of tool call number `index`.
    pub(super) fn continue_call(index: usize, call: CallDelta<'a>) -> Self {
        Self::ToolCall {
            tool_calls: [ToolCallDelta {
                index,
                id: None,
                r#type: None,
                call,
            }],
        }
    }
}
