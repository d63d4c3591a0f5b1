//! What is asked for, and within which bounds.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::chosen::ChosenId;
use super::terms::PermissionMode;
use super::workspace::Roots;
use crate::accounts::webhooks::Endpoint;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::engine::agent::Session;

/// Within which bounds tasks are run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where agents may work.
    pub roots: Roots,
    /// Tasks that run at the same time.
    pub max_running: usize,
    /// Tasks that may wait for their turn.
    pub queue_length: usize,
    /// Tasks of one key that may run and wait.
    pub max_per_key: usize,
    /// The model of tasks that name none.
    pub model: ModelName,
    /// Hosts that tasks may name as webhooks of their own.
    pub webhook_hosts: Vec<String>,
    /// How long a task may run that names no time itself, and the most that one may name.
    pub timeout: Duration,
    /// What a task may cost that names no amount itself.
    pub budget: Money,
    /// Tokens of the longest answer of an agent's model, by which a whole call is held.
    pub max_output_tokens: u32,
    /// How long a question waits for its answer. Then it is denied.
    pub permission_timeout: Duration,
    /// How long an agent has to stop by itself.
    pub grace: Duration,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The id by which the caller is to find it; none for the one that is made.
    pub chosen: Option<ChosenId>,
    /// What the agent is to do.
    pub prompt: String,
    /// The folder in which it is to do it.
    pub workspace: PathBuf,
    /// The resolved id of the model.
    pub model: ModelName,
    /// Instructions that are added to those of the CLI.
    pub system_prompt: Option<String>,
    /// Its tools, see [`Preset::tools`](super::Preset::tools).
    pub tools: Vec<&'static str>,
    /// What becomes of its questions.
    pub permission_mode: PermissionMode,
    /// The most calls of the model.
    pub max_turns: Option<u32>,
    /// What it may cost.
    pub max_budget: Option<Money>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// The session of an earlier task of the same caller, which it goes on with.
    pub session: Option<Uuid>,
    /// Who hears of its end, beside the project's webhook.
    pub webhook: Option<Endpoint>,
}

/// Within which bounds one task is run.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Where, without links.
    pub(super) workspace: PathBuf,
    pub(super) budget: Money,
    pub(super) timeout: Duration,
    pub(super) session: Session,
    /// Tokens of what was said before in its session.
    pub(super) conversation: u64,
}
