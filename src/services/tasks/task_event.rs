//! Events of tasks, as they are stored.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::task::TaskStatus;
use super::task::TaskTokens;
use crate::domain::unix_now_ms;

pub(super) const MS_PER_SECOND: u64 = 1000;

/// Event of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Position among the task's events, starting at 0.
    pub sequence_number: u64,
    /// Time of the event, in Unix seconds.
    pub created_at: u64,
    /// Time of the event, in Unix milliseconds; `None` if an earlier version recorded it.
    #[serde(default)]
    pub created_at_ms: Option<u64>,
    /// Kind and content of the event.
    #[serde(rename = "told")]
    pub kind: TaskEventKind,
}

/// Kind and content of a task event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TaskEventKind {
    /// Complete text block of the model.
    Message {
        /// Text of the block.
        text: String,
    },
    /// Tool call by the model.
    ToolUse {
        /// Id of the tool call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Input of the tool: a JSON object.
        input: Value,
    },
    /// Result of a tool call that was run or denied.
    ToolResult {
        /// Id of the tool call.
        tool_use_id: String,
        /// Result text given to the model.
        content: String,
        /// True if the tool call failed.
        is_error: bool,
    },
    /// Permission request: the agent waits until it is answered.
    PermissionRequest {
        /// Id of the request, which the answer names.
        request_id: String,
        /// Name of the tool.
        tool: String,
        /// Id of the tool call.
        tool_use_id: String,
        /// Input of the tool: a JSON object.
        input: Value,
        /// Reason for the request, if the CLI gives one.
        reason: Option<String>,
    },
    /// End of a permission request: answered, timed out or withdrawn.
    PermissionResolved {
        /// Id of the request.
        request_id: String,
        /// Decision: `allow`, `deny`, `timeout` or `withdrawn`.
        decision: String,
    },
    /// Progress report, at the start and after each model call.
    Progress {
        /// Current status of the task.
        status: TaskStatus,
        /// Number of model calls so far.
        turns: u32,
        /// Tokens used so far.
        tokens: TaskTokens,
    },
    /// End of a task that did not fail. Only hand-overs follow.
    Complete {
        /// Final status of the task.
        status: TaskStatus,
        /// Final text of the model, if the task completed.
        result: Option<String>,
    },
    /// End of a task that failed. Only hand-overs follow.
    Error {
        /// Machine-readable error code.
        code: String,
        /// Human-readable error message.
        message: String,
    },
    /// Hand-over of the ended task to another one. Made from the task, not recorded.
    HandedOver {
        /// Generated id of the task that continues.
        to_task_id: String,
    },
}

impl TaskEventKind {
    /// True for the end of a task.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Error { .. })
    }

    /// Returns the name of the event type, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::PermissionRequest { .. } => "permission_request",
            Self::PermissionResolved { .. } => "permission_resolved",
            Self::Progress { .. } => "progress",
            Self::Complete { .. } => "complete",
            Self::Error { .. } => "error",
            Self::HandedOver { .. } => "handed_over",
        }
    }
}

impl TaskEvent {
    /// Creates an event of this moment.
    pub(super) fn new(sequence_number: u64, kind: TaskEventKind) -> Self {
        Self::at(unix_now_ms(), sequence_number, kind)
    }

    /// Creates an event of the moment `unix_ms`.
    pub(super) fn at(unix_ms: u64, sequence_number: u64, kind: TaskEventKind) -> Self {
        Self {
            sequence_number,
            created_at: unix_ms / MS_PER_SECOND,
            created_at_ms: Some(unix_ms),
            kind,
        }
    }

    /// Returns the time of the event in Unix milliseconds. One that an earlier version recorded has
    /// whole seconds.
    pub fn unix_ms(&self) -> u64 {
        let whole = self.created_at.saturating_mul(MS_PER_SECOND);
        self.created_at_ms.unwrap_or(whole)
    }
}
