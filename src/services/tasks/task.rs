//! Tasks as they are stored. Clients see a view, which `http` makes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::chosen_id::ChosenId;
use super::family::FamilyBudget;
use super::family::TaskLineage;
use super::permissions::AGENT_TOOLS;
use super::permissions::PermissionMode;
use super::shared_origin::SharedOrigin;
use super::spec::TaskBounds;
use super::spec::TaskSpec;
use super::task_event::MS_PER_SECOND;
use super::task_event::TaskEvent;
use super::task_event::TaskEventKind;
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
    /// Place below another task; `None` for a task without a parent.
    #[serde(default)]
    pub lineage: Option<TaskLineage>,
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
    /// Number of model calls that `tokens` counts while the task runs, not stored.
    #[serde(skip)]
    pub(super) finished_calls: u32,
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
    /// Number of recorded events, without the hand-overs.
    pub events: u64,
    /// Hand-overs of the ended task, in their order.
    #[serde(default)]
    pub handovers: Vec<TaskHandover>,
    /// Set if any server may run the task while it waits, where several share the store.
    #[serde(default)]
    pub(super) shared: Option<SharedOrigin>,
    /// Open permission requests, not stored.
    #[serde(skip)]
    pub questions: Vec<PermissionRequest>,
    /// Times at which the open permission requests were made, by their ids, in Unix seconds; not
    /// stored.
    #[serde(skip)]
    pub asked_at: BTreeMap<String, u64>,
    /// Running tool calls, as id and tool name, not stored.
    #[serde(skip)]
    pub running_tools: Vec<(String, String)>,
    /// Generated ids of the tasks directly below this one, not stored here.
    #[serde(skip)]
    pub children: Vec<String>,
    /// Budget that the task shares with its family, not stored here; `None` without a family.
    #[serde(skip)]
    pub family_budget: Option<FamilyBudget>,
}

/// Hand-over of an ended task to another one, which continues its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHandover {
    /// Generated id of the task that continues.
    pub task: String,
    /// Time of the hand-over, in Unix milliseconds.
    pub created_at_ms: u64,
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

impl Task {
    /// Creates a queued task from a request.
    pub(super) fn queued(id: String, project: &str, spec: TaskSpec, bounds: TaskBounds) -> Self {
        Self {
            id,
            chosen: spec.chosen,
            lineage: bounds.lineage,
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
            finished_calls: 0,
            cost_nanos: None,
            files_created: BTreeSet::new(),
            files_modified: BTreeSet::new(),
            result: None,
            error: None,
            events: 0,
            handovers: Vec::new(),
            shared: None,
            questions: Vec::new(),
            asked_at: BTreeMap::new(),
            running_tools: Vec::new(),
            children: Vec::new(),
            family_budget: None,
        }
    }

    /// Returns the id by which the owner knows the task: the chosen one, or else the generated one.
    pub fn task_id(&self) -> &str {
        self.chosen.as_ref().map_or(&self.id, |chosen| &chosen.id)
    }

    /// True if the task waits, and any server may run it.
    pub(super) fn is_waiting_for_any_server(&self) -> bool {
        self.shared.is_some() && self.status == TaskStatus::Queued
    }

    /// Returns the generated id of the task above this one.
    pub fn parent_id(&self) -> Option<&str> {
        let lineage = self.lineage.as_ref()?;
        Some(&lineage.parent)
    }

    /// Returns the generated id of the first task of the family: of this one, if it has no parent.
    pub(super) fn root_id(&self) -> &str {
        self.lineage
            .as_ref()
            .map_or(&self.id, |lineage| &lineage.root)
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

    /// Records the `usage` of all model calls so far, of which the last has finished.
    pub(super) fn record_usage(&mut self, usage: Usage) {
        self.tokens = TaskTokens::from(usage);
        self.finished_calls = self.turns;
    }

    /// Returns the number of model calls that `tokens` counts, for their price.
    pub(super) fn counted_calls(&self) -> u64 {
        let is_over = self.status.is_over();
        let calls = if is_over {
            self.turns
        } else {
            self.finished_calls
        };
        calls.into()
    }

    /// Returns the cost of the task; `None` while it is unknown.
    pub fn cost(&self) -> Option<Money> {
        self.cost_nanos.map(Money::from_nanos)
    }

    /// Returns the cost of the ended task in the budget of its family: all that it might spend, if
    /// its cost is unknown.
    pub(super) fn family_cost(&self) -> Money {
        match self.cost() {
            Some(cost) => cost,
            None if self.status == TaskStatus::Cancelled => Money::ZERO,
            None => self.max_budget(),
        }
    }

    /// Returns the number of events, hand-overs included.
    pub fn event_count(&self) -> u64 {
        self.events + self.handovers.len() as u64
    }

    /// Returns event `number`, if it is a hand-over: those follow the recorded events.
    pub(super) fn handover_event(&self, number: u64) -> Option<TaskEvent> {
        let index = usize::try_from(number.checked_sub(self.events)?).ok()?;
        let handover = self.handovers.get(index)?;
        let kind = TaskEventKind::HandedOver {
            to_task_id: handover.task.clone(),
        };
        Some(TaskEvent::at(handover.created_at_ms, number, kind))
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

    /// Returns the final event of an ended task, in place of event `number` that is lost, if it was
    /// that one.
    pub(super) fn lost_final_event(&self, number: u64) -> Option<TaskEvent> {
        if !self.status.is_over() || number + 1 != self.events {
            return None;
        }
        let ended_at = self.ended_at.unwrap_or_else(unix_now);
        let ended_at_ms = ended_at.saturating_mul(MS_PER_SECOND);
        Some(TaskEvent::at(ended_at_ms, number, self.final_event_kind()))
    }

    /// Returns the content of the final event of an ended task.
    pub(super) fn final_event_kind(&self) -> TaskEventKind {
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

impl From<TaskTokens> for Usage {
    fn from(tokens: TaskTokens) -> Self {
        Self {
            input_tokens: tokens.input,
            cache_write_tokens: tokens.cache_write,
            cache_read_tokens: tokens.cache_read,
            output_tokens: tokens.output,
            ..Self::default()
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
