//! Requested tasks, and the limits within which each one runs.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::chosen_id::ChosenId;
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
    /// Maximum cost of the task.
    pub max_budget: Option<Money>,
    /// Timeout of the task.
    pub timeout: Option<Duration>,
    /// Session of an earlier task of the same caller, to be resumed.
    pub session: Option<Uuid>,
    /// Webhook that is notified when the task ends, in addition to that of the project.
    pub webhook: Option<WebhookEndpoint>,
}

/// Limits within which one task runs.
#[derive(Debug)]
pub(super) struct TaskBounds {
    /// Canonical path, without symlinks.
    pub(super) workspace: PathBuf,
    pub(super) budget: Money,
    pub(super) timeout: Duration,
    pub(super) session: AgentSession,
    /// Tokens of the session's earlier conversation.
    pub(super) conversation_tokens: u64,
}
