//! Requested tasks, and the limits within which each one runs.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::chosen_id::ChosenId;
use super::family::TaskLineage;
use super::permissions::PermissionMode;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::engine::agent::AgentSession;

/// Validated request for a new task.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// Id chosen by the caller, beside the generated one.
    pub chosen: Option<ChosenId>,
    /// Task below which the new one is created; `None` for a task without a parent.
    pub parent: Option<TaskParent>,
    /// Prompt for the agent.
    pub prompt: String,
    /// Folder in which the agent works.
    pub workspace: PathBuf,
    /// Resolved id of the model.
    pub model: ModelName,
    /// Instructions appended to the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// Tools of the agent, by the CLI's names.
    pub tools: Vec<&'static str>,
    /// Policy for permission requests.
    pub permission_mode: PermissionMode,
    /// Maximum number of model calls.
    pub max_turns: Option<u32>,
    /// Maximum cost of the task. By default that of the configuration or, below another task, what is
    /// left in the budget of the family.
    pub max_budget: Option<Money>,
    /// Timeout of the task.
    pub timeout: Option<Duration>,
    /// Session of an earlier task of the same caller, to be resumed.
    pub session: Option<Uuid>,
    /// Webhook that is notified when the task ends, in addition to that of the project.
    pub webhook: Option<WebhookEndpoint>,
}

/// Requested parent of a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskParent {
    /// Id of the parent, chosen or generated.
    pub id: String,
    /// True if the new task continues the work of its parent, which has ended.
    pub is_handover: bool,
}

/// Limits within which one task runs.
#[derive(Debug)]
pub(super) struct TaskBounds {
    /// Canonical path, without symlinks.
    pub(super) workspace: PathBuf,
    pub(super) lineage: Option<TaskLineage>,
    pub(super) budget: Money,
    pub(super) timeout: Duration,
    pub(super) session: AgentSession,
    /// Tokens of the session's earlier conversation.
    pub(super) conversation_tokens: u64,
}
