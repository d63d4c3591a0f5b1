//! The interface of an agent: a model that works with real tools in a folder.

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

/// Starts agents.
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Starts an agent for `job`, and returns once it is ready to be given its prompt.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start(&self, job: Job) -> BoxFuture<'_, Result<Box<dyn Agent>, Failure>>;

    /// Forgets what was said and done in a session. It is done though nobody waits.
    fn forget(&self, session: Uuid);

    /// Forgets all sessions but these, and those that were touched of late.
    fn forget_others(&self, sessions: HashSet<Uuid>);
}

/// An agent. Dropped, it is ended with all it has started.
pub trait Agent: Send {
    /// Gives it the prompt of its job, once. It is told while the next event is awaited.
    fn begin(&mut self);

    /// The next it tells; nothing follows [`AgentEvent::Finished`]. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// When it died, or broke its protocol.
    fn next_event(&mut self) -> BoxFuture<'_, Result<AgentEvent, Failure>>;

    /// Answers its question called `question`. One that it no longer asks is passed over. It is told while the next event is
    /// awaited.
    fn answer(&mut self, question: &str, answer: Answer);

    /// Asks it to stop, and to tell how far it has come. It is told while the next event is awaited.
    fn interrupt(&mut self);
}

/// What an agent is to do, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The id of its task, which marks whatever runs for it.
    pub task: String,
    /// What it is told to do.
    pub prompt: String,
    /// The folder it works in.
    pub workspace: PathBuf,
    /// The resolved id of the model.
    pub model: ModelName,
    /// Instructions that are added to those of the CLI.
    pub system_prompt: Option<String>,
    /// The tools it has, by the CLI's names.
    pub tools: Vec<&'static str>,
    /// What it may do unasked.
    pub mode: Mode,
    /// The most calls of the model.
    pub max_turns: Option<u32>,
    /// What this run may cost.
    pub max_budget: Money,
    /// Tokens of the longest answer.
    pub max_output_tokens: u32,
    /// The conversation it works in.
    pub session: Session,
}

/// A conversation of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// One that begins, and is to have this id.
    New(Uuid),
    /// One that the CLI has stored.
    Stored(Uuid),
}

impl Session {
    /// Its id.
    pub fn id(self) -> Uuid {
        let (Self::New(id) | Self::Stored(id)) = self;
        id
    }
}

/// What an agent may do unasked, of what stays within its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reading.
    Default,
    /// Reading and changing files.
    AcceptEdits,
    /// Reading, to plan what would be done.
    Plan,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may, as it stands.
    Allow,
    /// It may not, and is told why.
    Deny(String),
}

/// What an agent tells.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The model is called, and has not begun to answer.
    Calling,
    /// The model begins to answer.
    Turn {
        /// Its resolved id.
        model: String,
    },
    /// What the run took of tokens so far.
    Spent(Usage),
    /// A text of the model, whole.
    Message(String),
    /// The model calls a tool.
    ToolUse {
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
        /// Its input: a JSON object.
        input: String,
    },
    /// A tool was run, or refused.
    ToolResult {
        /// The id of the call.
        id: String,
        /// What the model is told.
        content: String,
        /// Whether it failed.
        is_error: bool,
        /// The file that it made or changed.
        change: Option<Change>,
    },
    /// It asks whether it may use a tool, and waits.
    Question(Question),
    /// It asks this no longer.
    Withdrawn(String),
    /// It has ended.
    Finished(Ending),
}

/// What a tool did to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Whether a tool may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// By what it is answered.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The id of the call.
    pub tool_use_id: String,
    /// Its input: a JSON object.
    pub input: String,
    /// Why it is asked, where the CLI says so.
    pub reason: Option<String>,
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// Its last words; of a failed run, the report.
    pub result: String,
    /// Tokens of this run.
    pub usage: Usage,
    /// What its conversation has cost since it began, earlier runs included.
    pub session_cost: Option<Money>,
}

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// It was done.
    Completed,
    /// It was interrupted.
    Interrupted,
    /// It has had all its calls of the model.
    MaxTurns,
    /// It has spent what it may.
    MaxBudget,
    /// There is no such session.
    NoSession,
    /// Anything else went wrong.
    Failed(FailureKind),
}

impl fmt::Debug for dyn Agent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Agent")
    }
}
