//! A task, as its owner sees it and as it is stored.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::chosen::ChosenId;
use super::spec::Bounds;
use super::spec::Spec;
use super::terms::PermissionMode;
use super::terms::TOOLS;
use crate::accounts::webhooks::Endpoint;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::engine::agent::Change;
use crate::engine::agent::Job;
use crate::engine::agent::Question;
use crate::engine::agent::Session;

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, `task_...`.
    pub id: String,
    /// The id that its owner has chosen, beside the one that was made.
    #[serde(default)]
    pub chosen: Option<ChosenId>,
    /// How far it has come.
    pub status: Status,
    /// The project that pays.
    pub project: String,
    /// What the agent was told to do.
    pub prompt: String,
    /// Instructions that were added to those of the CLI.
    pub system_prompt: Option<String>,
    /// Where it works, without links.
    pub workspace: PathBuf,
    /// The resolved id of the model that was asked for, and then of the one that answers.
    pub model: String,
    /// The tools it has.
    pub tools: Vec<String>,
    /// What becomes of its questions.
    pub permission_mode: PermissionMode,
    /// The id of the session it works in, by which another task goes on with it.
    pub session_id: String,
    /// The most calls of the model.
    pub max_turns: Option<u32>,
    /// The most it may cost.
    pub(super) max_budget_nanos: i64,
    /// The longest it may run, in seconds.
    pub timeout_seconds: u64,
    /// Who hears of its end, beside the project's webhook.
    pub webhook: Option<Endpoint>,
    /// When it was asked for, in seconds of Unix time.
    pub created_at: u64,
    /// When it began.
    pub started_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// Calls of the model.
    pub turns: u32,
    /// Tokens it took.
    pub tokens: Tokens,
    /// What it cost, in nano-dollars; none while that is not known.
    pub cost_nanos: Option<i64>,
    /// Files it made.
    pub files_created: BTreeSet<PathBuf>,
    /// Files it changed that were there before.
    pub files_modified: BTreeSet<PathBuf>,
    /// Its last words.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<Trouble>,
    /// How many events it has told.
    pub events: u64,
    /// What it asks and waits for.
    #[serde(skip)]
    pub questions: Vec<Question>,
    /// Its tools that run: the ids of their calls, and their names.
    #[serde(skip)]
    pub running_tools: Vec<(String, String)>,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// Its agent works.
    Running,
    /// It was stopped before it was done, and can be gone on with.
    Interrupted,
    /// It is done.
    Completed,
    /// It went wrong.
    Failed,
    /// It was called off before it began.
    Cancelled,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// For machines: `max_turns`, `max_budget`, `timeout`, ...
    pub code: String,
    /// For people.
    pub message: String,
}

/// Tokens of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of prompts, outside the prompt cache.
    pub input: u64,
    /// Of prompts, written to the cache.
    pub cache_write: u64,
    /// Of prompts, read from the cache.
    pub cache_read: u64,
    /// Of answers.
    pub output: u64,
}

/// Something that a task tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place among all that the task tells, from 0.
    pub sequence_number: u64,
    /// When, in seconds of Unix time.
    pub created_at: u64,
    /// What.
    pub told: Told,
}

/// What a task tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// A text of the model, whole.
    Message {
        /// It.
        text: String,
    },
    /// The model calls a tool.
    ToolUse {
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
        /// Its input.
        input: Value,
    },
    /// A tool was run, or refused.
    ToolResult {
        /// The id of the call.
        tool_use_id: String,
        /// What the model is told.
        content: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// It asks whether it may use a tool, and waits.
    PermissionRequest {
        /// By what it is answered.
        request_id: String,
        /// The tool.
        tool: String,
        /// The id of the call.
        tool_use_id: String,
        /// Its input.
        input: Value,
        /// Why it is asked.
        reason: Option<String>,
    },
    /// A question is answered, or is asked no longer.
    PermissionResolved {
        /// Which.
        request_id: String,
        /// `allow`, `deny`, `timeout` or `withdrawn`.
        decision: String,
    },
    /// It has begun, or gone on.
    Progress {
        /// How far.
        status: Status,
        /// Calls of the model so far.
        turns: u32,
        /// Tokens so far.
        tokens: Tokens,
    },
    /// It has ended, and not failed. Nothing follows.
    Complete {
        /// How.
        status: Status,
        /// Its last words.
        result: Option<String>,
    },
    /// It has failed. Nothing follows.
    Error {
        /// For machines.
        code: String,
        /// For people.
        message: String,
    },
}

impl Status {
    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl Told {
    /// What it is called.
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

    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Error { .. })
    }
}

impl Task {
    /// One that is asked for now.
    pub(super) fn queued(id: String, project: &str, spec: Spec, bounds: Bounds) -> Self {
        Self {
            id,
            chosen: spec.chosen,
            status: Status::Queued,
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
            tokens: Tokens::default(),
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

    /// What its owner calls it: the id that was chosen, or else the one that was made.
    pub fn task_id(&self) -> &str {
        self.chosen.as_ref().map_or(&self.id, |chosen| &chosen.id)
    }

    /// What its agent is told.
    pub(super) fn job(&self, session: Session, max_output_tokens: u32) -> Job {
        let is_chosen = |tool: &&'static str| self.tools.iter().any(|name| name == tool);
        Job {
            task: self.id.clone(),
            prompt: self.prompt.clone(),
            workspace: self.workspace.clone(),
            model: ModelName::new(&self.model),
            system_prompt: self.system_prompt.clone(),
            tools: TOOLS
                .iter()
                .map(|(tool, _)| *tool)
                .filter(is_chosen)
                .collect(),
            mode: self.permission_mode.mode(),
            max_turns: self.max_turns,
            max_budget: self.max_budget(),
            max_output_tokens,
            session,
        }
    }

    /// The most it may cost.
    pub fn max_budget(&self) -> Money {
        Money::from_nanos(self.max_budget_nanos)
    }

    /// One of its tools has done its work, and this to a file.
    pub(super) fn tool_is_done(&mut self, call: &str, change: Option<Change>) {
        self.running_tools.retain(|(id, _)| id != call);
        let Some(Change { path, is_new }) = change else {
            return;
        };
        // As the agent wrote it, which may be from where it is.
        let path = self.workspace.join(path);
        if is_new {
            self.files_created.insert(path);
        } else if !self.files_created.contains(&path) {
            self.files_modified.insert(path);
        }
    }

    /// What it cost.
    pub fn cost(&self) -> Option<Money> {
        self.cost_nanos.map(Money::from_nanos)
    }

    /// The type of the webhook event that tells of its end.
    pub(super) fn event_name(&self) -> &'static str {
        match self.status {
            Status::Completed => "task.completed",
            Status::Failed => "task.failed",
            Status::Cancelled => "task.cancelled",
            Status::Interrupted | Status::Queued | Status::Running => "task.interrupted",
        }
    }

    /// What a webhook is told of it: how it ended, and nothing of what it was about.
    pub(super) fn summary(&self) -> Value {
        let code = self.error.as_ref().map(|error| &error.code);
        json!({"id": self.id, "task_id": self.task_id(), "status": self.status, "turns": self.turns, "error_code": code,
            "cost_usd": self.cost().map(Money::to_decimal)})
    }

    /// Its last event, now that it has ended.
    pub(super) fn last_event(&self) -> Event {
        let created_at = self.ended_at.unwrap_or_else(unix_now);
        Event {
            sequence_number: self.events.saturating_sub(1),
            created_at,
            told: self.last_word(),
        }
    }

    fn last_word(&self) -> Told {
        match &self.error {
            Some(Trouble { code, message }) => Told::Error {
                code: code.clone(),
                message: message.clone(),
            },
            None => Told::Complete {
                status: self.status,
                result: self.result.clone(),
            },
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input_tokens,
            cache_write: usage.cache_write_tokens,
            cache_read: usage.cache_read_tokens,
            output: usage.output_tokens,
        }
    }
}
