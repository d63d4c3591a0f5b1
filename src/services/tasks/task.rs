//! Tasks as they are stored. Clients see a view, which `http` makes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::chosen_id::ChosenId;
use super::permissions::AGENT_TOOLS;
use super::permissions::PermissionMode;
use super::spec::TaskBounds;
use super::spec::TaskSpec;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentSession;
use crate::engine::agent::FileChange;
use crate::engine::agent::PermissionRequest;

/// State of a task: its request, progress and result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Generated id of the task, `task_...`.
    pub id: String,
    /// Id chosen by the owner, beside the generated one.
    #[serde(default)]
    pub chosen: Option<ChosenId>,
    /// Current status of the task.
    pub status: TaskStatus,
    /// Project charged for the task.
    pub project: String,
    /// Prompt given to the agent.
    pub prompt: String,
    /// Instructions appended to the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// Working directory, without symlinks.
    pub workspace: PathBuf,
    /// Resolved id of the requested model, replaced by that of the answering model.
    pub model: String,
    /// Names of the agent's tools.
    pub tools: Vec<String>,
    /// Policy for permission requests.
    pub permission_mode: PermissionMode,
    /// Id of the CLI session, by which another task can resume it.
    pub session_id: String,
    /// Maximum number of model calls.
    pub max_turns: Option<u32>,
    pub(super) max_budget_nanos: i64,
    /// Timeout of the task, in seconds.
    pub timeout_seconds: u64,
    /// Webhook that is notified when the task ends, in addition to that of the project.
    pub webhook: Option<WebhookEndpoint>,
    /// Creation time, in Unix seconds.
    pub created_at: u64,
    /// Start time, in Unix seconds.
    pub started_at: Option<u64>,
    /// End time, in Unix seconds.
    pub ended_at: Option<u64>,
    /// Number of model calls.
    pub turns: u32,
    /// Tokens used by all model calls.
    pub tokens: TaskTokens,
    /// Cost in nano-dollars; `None` while it is unknown.
    pub cost_nanos: Option<i64>,
    /// Paths of files that the agent created.
    pub files_created: BTreeSet<PathBuf>,
    /// Paths of existing files that the agent changed.
    pub files_modified: BTreeSet<PathBuf>,
    /// Final text of the model, if the task completed.
    pub result: Option<String>,
    /// Reason of the failure, if the task failed.
    pub error: Option<TaskError>,
    /// Number of recorded events.
    pub events: u64,
    /// Open permission requests, not stored.
    #[serde(skip)]
    pub questions: Vec<PermissionRequest>,
    /// Running tool calls, as id and tool name, not stored.
    #[serde(skip)]
    pub running_tools: Vec<(String, String)>,
}

/// Status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Queued, not started.
    Queued,
    /// Started, and not ended.
    Running,
    /// Stopped before completion; the session can be resumed.
    Interrupted,
    /// Completed by the agent.
    Completed,
    /// Ended with an error.
    Failed,
    /// Cancelled while queued.
    Cancelled,
}

/// Error of a failed task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// Machine-readable code: `max_turns`, `max_budget`, `timeout`, ...
    pub code: String,
    /// Human-readable message of the error.
    pub message: String,
}

/// Token usage of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTokens {
    /// Prompt tokens outside the prompt cache.
    pub input: u64,
    /// Prompt tokens written to the prompt cache.
    pub cache_write: u64,
    /// Prompt tokens read from the prompt cache.
    pub cache_read: u64,
    /// Output tokens of all answers.
    pub output: u64,
}

/// Event of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Position among the task's events, starting at 0.
    pub sequence_number: u64,
    /// Time of the event, in Unix seconds.
    pub created_at: u64,
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
    /// End of a task that did not fail. Always the last event.
    Complete {
        /// Final status of the task.
        status: TaskStatus,
        /// Final text of the model, if the task completed.
        result: Option<String>,
    },
    /// End of a task that failed. Always the last event.
    Error {
        /// Machine-readable error code.
        code: String,
        /// Human-readable error message.
        message: String,
    },
}

impl TaskStatus {
    /// Returns the name of the status in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True for the final statuses: all but queued and running.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl TaskEventKind {
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
        }
    }

    /// True for the last event of a task.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Error { .. })
    }
}

impl Task {
    /// Creates a queued task from a request.
    pub(super) fn queued(id: String, project: &str, spec: TaskSpec, bounds: TaskBounds) -> Self {
        Self {
            id,
            chosen: spec.chosen,
            status: TaskStatus::Queued,
            project: project.to_owned(),
            prompt: spec.prompt,
            system_prompt: spec.system_prompt,
            workspace: bounds.workspace,
            model: spec.model.to_string(),
            tools: spec.tools.into_iter().map(str::to_owned).collect(),
            permission_mode: spec.permission_mode,
            session_id: bounds.session.id().to_string(),
            max_turns: spec.max_turns,
            max_budget_nanos: bounds.budget.nanos(),
            timeout_seconds: bounds.timeout.as_secs(),
            webhook: spec.webhook,
            created_at: unix_now(),
            started_at: None,
            ended_at: None,
            turns: 0,
            tokens: TaskTokens::default(),
            cost_nanos: None,
            files_created: BTreeSet::new(),
            files_modified: BTreeSet::new(),
            result: None,
            error: None,
            events: 0,
            questions: Vec::new(),
            running_tools: Vec::new(),
        }
    }

    /// Returns the id by which the owner knows the task: the chosen one, or else the generated one.
    pub fn task_id(&self) -> &str {
        self.chosen.as_ref().map_or(&self.id, |chosen| &chosen.id)
    }

    /// Returns the agent job of this task.
    pub(super) fn agent_job(&self, session: AgentSession, max_output_tokens: u32) -> AgentJob {
        let is_chosen = |tool: &&'static str| self.tools.iter().any(|name| name == tool);
        AgentJob {
            task: self.id.clone(),
            prompt: self.prompt.clone(),
            workspace: self.workspace.clone(),
            model: ModelName::new(&self.model),
            system_prompt: self.system_prompt.clone(),
            tools: AGENT_TOOLS
                .iter()
                .map(|(tool, _)| *tool)
                .filter(is_chosen)
                .collect(),
            mode: self.permission_mode.agent_mode(),
            max_turns: self.max_turns,
            max_budget: self.max_budget(),
            max_output_tokens,
            session,
            trace: None,
        }
    }

    /// Returns the maximum cost of the task.
    pub fn max_budget(&self) -> Money {
        Money::from_nanos(self.max_budget_nanos)
    }

    /// Records that the tool call `call` has ended, and its file change if it made one.
    pub(super) fn record_tool_end(&mut self, call: &str, change: Option<FileChange>) {
        self.running_tools.retain(|(id, _)| id != call);
        let Some(FileChange { path, is_new }) = change else {
            return;
        };
        // The agent may give a path relative to the workspace.
        let path = self.workspace.join(path);
        if is_new {
            self.files_created.insert(path);
        } else if !self.files_created.contains(&path) {
            self.files_modified.insert(path);
        }
    }

    /// Marks the task as failed with `error`, if there is one, and drops its result.
    pub(super) fn fail_if(&mut self, error: Option<TaskError>) {
        if error.is_some() {
            self.status = TaskStatus::Failed;
            self.result = None;
            self.error = error;
        }
    }

    /// Returns the cost of the task; `None` while it is unknown.
    pub fn cost(&self) -> Option<Money> {
        self.cost_nanos.map(Money::from_nanos)
    }

    /// Returns the type of the webhook event for the end of the task.
    pub(super) fn webhook_event_name(&self) -> &'static str {
        match self.status {
            TaskStatus::Completed => "task.completed",
            TaskStatus::Failed => "task.failed",
            TaskStatus::Cancelled => "task.cancelled",
            TaskStatus::Interrupted | TaskStatus::Queued | TaskStatus::Running => {
                "task.interrupted"
            }
        }
    }

    /// Returns the body of the webhook event: the outcome, without prompt or result.
    pub(super) fn webhook_body(&self) -> Value {
        let code = self.error.as_ref().map(|error| &error.code);
        json!({"id": self.id, "task_id": self.task_id(), "status": self.status.as_str(), "turns": self.turns, "error_code": code,
            "cost_usd": self.cost().map(Money::to_decimal)})
    }

    /// Returns the final event of an ended task.
    pub(super) fn final_event(&self) -> TaskEvent {
        let created_at = self.ended_at.unwrap_or_else(unix_now);
        TaskEvent {
            sequence_number: self.events.saturating_sub(1),
            created_at,
            kind: self.final_event_kind(),
        }
    }

    fn final_event_kind(&self) -> TaskEventKind {
        match &self.error {
            Some(TaskError { code, message }) => TaskEventKind::Error {
                code: code.clone(),
                message: message.clone(),
            },
            None => TaskEventKind::Complete {
                status: self.status,
                result: self.result.clone(),
            },
        }
    }
}

impl From<Usage> for TaskTokens {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input_tokens,
            cache_write: usage.cache_write_tokens,
            cache_read: usage.cache_read_tokens,
            output: usage.output_tokens,
        }
    }
}
