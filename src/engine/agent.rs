//! Interface of an agent: a model that works in a folder with real tools.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Usage;

/// Starts agents and deletes their stored sessions.
pub trait AgentRunner: fmt::Debug + Send + Sync + 'static {
    /// Starts an agent for `job`. Returns once the agent is ready for its prompt.
    ///
    /// # Errors
    /// Fails when the agent cannot be started.
    fn start(&self, job: AgentJob) -> BoxFuture<'_, Result<Box<dyn Agent>, Failure>>;

    /// Deletes the stored conversation of a session, in the background.
    fn forget_session(&self, session: Uuid);

    /// Deletes, in the background, the stored sessions that are not in `sessions`. Sessions used
    /// recently are kept, as their task may not be stored yet.
    fn forget_other_sessions(&self, sessions: HashSet<Uuid>);
}

/// Running agent. Dropping it ends its process and all processes that it started.
pub trait Agent: Send {
    /// Sends the prompt of the job, once. The line is only queued here; it is written while
    /// [`next_event`](Self::next_event) is awaited.
    fn send_prompt(&mut self);

    /// Waits for the next event; nothing follows [`AgentEvent::Finished`]. Cancellation-safe:
    /// dropping the future loses no event.
    ///
    /// # Errors
    /// Fails when the agent died or broke its protocol.
    fn next_event(&mut self) -> BoxFuture<'_, Result<AgentEvent, Failure>>;

    /// Answers the permission request with the id `question`; ignored if the agent has withdrawn
    /// it. Queued here, written while [`next_event`](Self::next_event) is awaited.
    fn answer_permission(&mut self, question: &str, answer: PermissionDecision);

    /// Asks the agent to stop and to report its result so far. Queued here, written while
    /// [`next_event`](Self::next_event) is awaited.
    fn interrupt(&mut self);
}

/// Prompt, limits and permissions of one agent run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentJob {
    /// Id of the task. Every process that runs for the task carries it as a mark.
    pub task: String,
    /// Prompt of the user.
    pub prompt: String,
    /// Working directory of the agent.
    pub workspace: PathBuf,
    /// Resolved id of the model.
    pub model: ModelName,
    /// Instructions appended to the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// Tools available to the agent, by the CLI's names.
    pub tools: Vec<&'static str>,
    /// Permission mode: which actions need no permission request.
    pub mode: AgentMode,
    /// Maximum number of model calls.
    pub max_turns: Option<u32>,
    /// Maximum cost of this run.
    pub max_budget: Money,
    /// Maximum number of output tokens of one model call.
    pub max_output_tokens: u32,
    /// Session of the CLI in which the agent works.
    pub session: AgentSession,
    /// Position in a trace that the agent and its tools continue; `None` while traces are off.
    pub trace: Option<AgentTraceContext>,
}

/// Position in a trace, as the W3C recommendation writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTraceContext {
    /// Ids of the trace and of the task's span.
    pub traceparent: String,
    /// State of the trace, which is passed on as the client has sent it.
    pub tracestate: Option<String>,
}

/// Session of the CLI: one stored conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSession {
    /// New session, to be stored under this id.
    New(Uuid),
    /// Session that the CLI has stored before.
    Stored(Uuid),
}

impl AgentSession {
    /// Returns the id of the session.
    pub fn id(self) -> Uuid {
        let (Self::New(id) | Self::Stored(id)) = self;
        id
    }
}

/// Actions within the workspace for which an agent needs no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentMode {
    /// Read files only.
    Default,
    /// Read and change files.
    AcceptEdits,
    /// Read files only, and make a plan instead of changes.
    Plan,
}

/// Decision on a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermissionDecision {
    /// Allow the tool call as requested.
    Allow,
    /// Deny the tool call, with the reason that the model is given.
    Deny(String),
}

/// Event in the output of an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// A model call was sent; its answer has not started.
    CallSent,
    /// The answer of a model call has started.
    AnswerStarted {
        /// Resolved id of the answering model.
        model: String,
    },
    /// Tokens used by all model calls of the run so far.
    UsageUpdated(Usage),
    /// Complete text block of the model.
    Message(String),
    /// Tool call by the model.
    ToolUse {
        /// Id of the tool call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Input of the tool: a JSON object.
        input: String,
    },
    /// Result of a tool call that was run or denied.
    ToolResult {
        /// Id of the tool call.
        id: String,
        /// Result text given to the model.
        content: String,
        /// True if the tool call failed.
        is_error: bool,
        /// File that the tool created or changed.
        change: Option<FileChange>,
    },
    /// The agent asks for permission to use a tool, and waits for the answer.
    PermissionRequested(PermissionRequest),
    /// The agent has withdrawn the permission request with this id.
    PermissionWithdrawn(String),
    /// The agent has ended. Always the last event.
    Finished(AgentReport),
}

/// File change made by a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Path of the file as the agent wrote it; a relative path starts at the workspace.
    pub path: PathBuf,
    /// True if the tool created the file.
    pub is_new: bool,
}

/// Request for permission to use a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionRequest {
    /// Id of the request, which the answer names.
    pub id: String,
    /// Name of the tool.
    pub tool: String,
    /// Id of the tool call.
    pub tool_use_id: String,
    /// Input of the tool: a JSON object.
    pub input: String,
    /// Reason for the request, if the CLI gives one.
    pub reason: Option<String>,
}

/// Final report of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentReport {
    /// Reason why the agent stopped.
    pub reason: AgentStop,
    /// Final text of the model, or the error report of a failed run.
    pub result: String,
    /// Tokens used by this run.
    pub usage: Usage,
    /// Total cost of the session, earlier runs included.
    pub session_cost: Option<Money>,
}

/// Reason why an agent stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStop {
    /// The agent completed its prompt.
    Completed,
    /// The agent was interrupted.
    Interrupted,
    /// The maximum number of model calls was reached.
    MaxTurns,
    /// The maximum cost was reached.
    MaxBudget,
    /// The CLI has no session with this id.
    NoSession,
    /// Any other failure.
    Failed(FailureKind),
}

impl fmt::Debug for dyn Agent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Agent")
    }
}
