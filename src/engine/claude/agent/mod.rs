//! Agent processes: CLI processes that work on a task with tools of their own. Each works on one
//! task, and none is from the pool.

mod command;
mod transcripts;
mod translate;
mod user;

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::launcher::program_missing;
use super::orphans;
use super::pipe::Pipe;
use super::process::Process;
use super::process::Program;
use super::process::Spawner;
use super::process::find_setpriv;
use super::protocol::{
    ControlRequest, FlagSettings, PermissionResponse, parse_agent, permission_line, prompt_line,
    refusal_line,
};
use super::setup::CliSetup;
use super::sign_in::SignIn;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::agent::Agent;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentRunner;
use crate::engine::agent::PermissionDecision;
use crate::runtime::platform;
use crate::telemetry::logs::ErrorChain;

use command::TASK_VARIABLE;
use translate::AgentTranslator;
use translate::Reaction;

pub use user::AgentUser;
pub use user::AgentUserError;

/// Time for a process to save its session at the end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Delays before each scan for orphan processes of an agent: a process in the middle of `exec` is
/// missed by a single scan, because it shows no marker for a moment.
const ORPHAN_SCAN_DELAYS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// Minimum age of an unknown session before it is deleted: a younger one may belong to a task that
/// is not recorded yet.
const MIN_SESSION_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts a CLI process for each task.
#[derive(Debug)]
pub struct ClaudeRunner {
    setup: CliSetup,
    path: PathBuf,
    instance: String,
    spawner: Spawner,
    /// System user of agent processes; `None` for the server's own user.
    user: Option<AgentUser>,
}

/// Agent process of one task.
#[derive(Debug)]
struct ClaudeAgent {
    process: Process,
    link: AgentLink,
    translator: AgentTranslator,
    /// Line with the prompt, until it is sent.
    prompt: Vec<u8>,
    /// Id of the task, which marks all processes that this one starts.
    task: String,
    tracker: TaskTracker,
}

/// State of the process's output.
#[derive(Debug)]
enum AgentLink {
    Open(Pipe<ChildStdout, ChildStdin>),
    /// The process has reported the result, and should exit.
    Ending(ChildStdout, AgentReport),
    Closed,
}

impl ClaudeRunner {
    pub(super) fn new(setup: CliSetup, path: PathBuf, instance: String, spawner: Spawner) -> Self {
        Self {
            setup,
            path,
            instance,
            spawner,
            user: None,
        }
    }

    /// Finds the system user `name`, and checks that this process can start agents as it. Changes
    /// nothing.
    ///
    /// # Errors
    /// Fails if this machine or the sign-in does not allow that.
    pub fn find_user(name: &str, sign_in: SignIn) -> Result<AgentUser, AgentUserError> {
        if !platform::IS_LINUX {
            return Err(AgentUserError::OnlyOnLinux(name.to_owned()));
        }
        if sign_in == SignIn::Stored {
            return Err(AgentUserError::StoredSignIn(name.to_owned()));
        }
        let user = AgentUser::find(name)?;
        if find_setpriv().is_none() {
            return Err(AgentUserError::NoSetpriv);
        }
        Ok(user)
    }

    /// Runs agents as the system user `name`, who has no access to the server's processes and
    /// files. Must be called before the first agent starts.
    ///
    /// # Errors
    /// Fails if this machine or configuration does not allow that.
    pub async fn run_as(mut self, name: &str) -> Result<Self, AgentUserError> {
        let user = Self::find_user(name, self.setup.sign_in)?;
        user.check_reachable(&self.path)?;
        let data_dir = std::path::absolute(&self.setup.data_dir);
        user.prepare(data_dir.as_ref().unwrap_or(&self.setup.data_dir))?;
        self.user = Some(user);
        self.try_cli(name).await?;
        Ok(self)
    }

    /// Checks that agents can work in a folder.
    ///
    /// # Errors
    /// Fails if their user has no access; the message is meant for the log.
    pub fn check_workspace(&self, folder: &Path) -> Result<(), AgentUserError> {
        self.user
            .as_ref()
            .map_or(Ok(()), |user| user.check_workspace(folder))
    }

    /// Runs the CLI once as the user of agents, so that a problem shows at start-up.
    async fn try_cli(&self, user: &str) -> Result<(), AgentUserError> {
        let not_started = |source| AgentUserError::CliNotStarted {
            user: user.to_owned(),
            source,
        };
        let program = Program {
            path: self.path.clone(),
            arguments: vec!["--version".to_owned()],
            environment: super::command::environment(&self.setup, &self.instance)
                .into_iter()
                .collect(),
            directory: PathBuf::from("/"),
            user: self.user.clone(),
            is_agent: false,
        };
        let mut process = self.spawner.spawn(program).await.map_err(not_started)?;
        let (stdout, _stdin) = process.take_pipes().map_err(not_started)?;
        let mut output = String::new();
        let mut stdout = stdout.take(1024);
        let read = tokio::time::timeout(
            self.setup.config.start_timeout,
            stdout.read_to_string(&mut output),
        )
        .await;
        if matches!(read, Ok(Ok(1..))) {
            Ok(())
        } else {
            Err(AgentUserError::Cli {
                user: user.to_owned(),
                reason: process.describe_exit().await,
            })
        }
    }

    async fn open(&self, job: AgentJob) -> Result<ClaudeAgent, Failure> {
        let program = Program {
            path: self.path.clone(),
            arguments: command::arguments(&job),
            environment: command::environment(&self.setup, &self.instance, &job)
                .into_iter()
                .collect(),
            directory: job.workspace.clone(),
            user: self.user.clone(),
            is_agent: true,
        };
        let not_started = |error: std::io::Error| {
            tracing::warn!(error = %ErrorChain(&error), "agent not started");
            Failure::new(FailureKind::Crashed, "The agent could not be started.")
        };
        if let Some(home) = command::home_dir(&self.setup, &job) {
            match self.user.clone() {
                None => tokio::fs::create_dir_all(home.join("tmp")).await,
                Some(user) => {
                    let result = spawn_blocking(move || user.make_home(&home)).await;
                    result.map_err(std::io::Error::other).flatten()
                }
            }
            .map_err(not_started)?;
        }
        if let Err(error) = self.check_workspace(&job.workspace) {
            tracing::warn!(task.id = job.task, error = %ErrorChain(&error), "agent workspace not usable");
            return Err(Failure::new(
                FailureKind::Crashed,
                "Agents run as a user who cannot work in this workspace. The operator of the server can give the folder to it.",
            ));
        }
        let mut process = self.spawner.spawn(program).await.map_err(not_started)?;
        let (stdout, stdin) = process.take_pipes().map_err(not_started)?;
        let pipe = Pipe::new(stdout, stdin, self.setup.config.max_line_bytes);
        let mut agent = ClaudeAgent {
            process,
            link: AgentLink::Open(pipe),
            translator: AgentTranslator::default(),
            prompt: prompt_line(&Uuid::new_v4().to_string(), &job.prompt).to_vec(),
            task: job.task.clone(),
            tracker: self.spawner.tracker().clone(),
        };
        let ready =
            tokio::time::timeout(self.setup.config.start_timeout, agent.handshake(&job)).await;
        ready.unwrap_or_else(|_| {
            Err(Failure::new(
                FailureKind::TimedOut,
                "The agent did not answer the handshake in time.",
            ))
        })?;
        Ok(agent)
    }
}

impl AgentRunner for ClaudeRunner {
    fn start(&self, job: AgentJob) -> BoxFuture<'_, Result<Box<dyn Agent>, Failure>> {
        let started = self.open(job).map(|agent| match agent {
            Ok(agent) => Ok(Box::new(agent) as Box<dyn Agent>),
            Err(failure) => Err(program_missing(&self.path).map_or(failure, |reason| {
                Failure::new(
                    FailureKind::Crashed,
                    format!("No agent can be started: {reason}."),
                )
            })),
        });
        started.boxed()
    }

    fn forget_session(&self, session: Uuid) {
        let folder = command::sessions_dir(&self.setup);
        self.spawner.tracker().spawn_blocking(move || {
            transcripts::delete_sessions(&folder, Duration::ZERO, &|other| *other == session);
        });
    }

    fn forget_other_sessions(&self, sessions: HashSet<Uuid>) {
        // With a stored sign-in, the user's own sessions are in the same directory.
        if self.setup.sign_in == SignIn::Stored {
            return;
        }
        let folder = command::sessions_dir(&self.setup);
        self.spawner.tracker().spawn_blocking(move || {
            transcripts::delete_sessions(&folder, MIN_SESSION_AGE, &|session| {
                !sessions.contains(session)
            });
        });
    }
}

impl ClaudeAgent {
    /// Performs the handshake. Each control request is answered before the next is sent, so that a
    /// process that ends at once, because there is no such session, can report that.
    async fn handshake(&mut self, job: &AgentJob) -> Result<(), Failure> {
        let system_prompt = job.system_prompt.as_deref();
        self.send_control(
            "initialize",
            &ControlRequest::InitializeAgent {
                append_system_prompt: system_prompt,
            },
        )
        .await?;
        let settings = FlagSettings {
            model: Some(job.model.as_str()),
            ..FlagSettings::default()
        };
        self.send_control("model", &ControlRequest::ApplyFlagSettings { settings })
            .await
    }

    async fn send_control(
        &mut self,
        id: &str,
        control: &ControlRequest<'_>,
    ) -> Result<(), Failure> {
        self.queue(&control.line(id));
        while let AgentLink::Open(_) = &self.link {
            match self.next_reaction().await? {
                Reaction::Answered(answered, None) if answered == id => return Ok(()),
                Reaction::Answered(answered, Some(error)) if answered == id => {
                    tracing::warn!(%error, "control request refused by agent");
                    return Err(Failure::new(
                        FailureKind::Crashed,
                        "The agent refused a control request.",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn queue(&mut self, line: &[u8]) {
        if let AgentLink::Open(pipe) = &mut self.link {
            pipe.queue(line);
        }
    }

    /// Reads one line and processes it.
    async fn next_reaction(&mut self) -> Result<Reaction, Failure> {
        let AgentLink::Open(pipe) = &mut self.link else {
            return Err(process_ended());
        };
        // Cancellation-safe: an incomplete line stays in the pipe's buffer.
        let line = pipe.next_line().await.map_err(|error| {
            tracing::debug!(%error, "agent pipe closed");
            process_ended()
        })?;
        self.check_line_length()?;
        let line = match parse_agent(&line) {
            Ok(line) => line,
            Err(error) => return self.skip_line(&line, &error),
        };
        let reaction = self.translator.translate(line);
        match reaction {
            Reaction::Refuse(id) => {
                self.queue(&refusal_line(&id));
                Ok(Reaction::None)
            }
            Reaction::End(ending) => {
                if let AgentLink::Open(pipe) = std::mem::replace(&mut self.link, AgentLink::Closed)
                {
                    // Closing stdin makes the process save its session and exit.
                    self.link = AgentLink::Ending(pipe.into_reader(), *ending);
                }
                Ok(Reaction::None)
            }
            reaction => Ok(reaction),
        }
    }

    /// Skips a line that cannot be parsed. Fails if the run depends on the line.
    fn skip_line(&self, line: &[u8], error: &serde_json::Error) -> Result<Reaction, Failure> {
        // Neither the line nor the parser's message is logged: both may quote the conversation.
        tracing::warn!(worker.pid = self.process.id(), category = ?error.classify(), "agent line not parsed");
        if is_required_line(line) {
            return Err(Failure::new(
                FailureKind::Crashed,
                "The agent sent a message that cannot be parsed.",
            ));
        }
        Ok(Reaction::None)
    }

    /// Fails if a line was too long to be read: it may have been a permission request.
    fn check_line_length(&self) -> Result<(), Failure> {
        match &self.link {
            AgentLink::Open(pipe) if pipe.overlong_lines() > 0 => {
                let message =
                    "The agent sent a message that is too long (`claude.max_line_bytes`).";
                Err(Failure::new(FailureKind::Crashed, message))
            }
            _ => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<AgentEvent, Failure> {
        loop {
            if let Some(event) = self.translator.events.pop_front() {
                return Ok(event);
            }
            if let AgentLink::Ending(stdout, ending) = &mut self.link {
                let mut rest = [0; 1024];
                let exit = async { while let Ok(1..) = stdout.read(&mut rest).await {} };
                let _ = tokio::time::timeout(EXIT_TIMEOUT, exit).await;
                let ending = ending.clone();
                self.link = AgentLink::Closed;
                return Ok(AgentEvent::Finished(ending));
            }
            if let Err(failure) = self.next_reaction().await {
                let id = self.process.id();
                let words = self.process.describe_exit().await;
                tracing::warn!(worker.pid = id, exit = %words, "agent failed");
                return Err(failure);
            }
        }
    }
}

/// True if the beginning of a line shows that the run depends on it.
fn is_required_line(line: &[u8]) -> bool {
    let begin = &line[..line.len().min(200)];
    [r#""type":"control_request""#, r#""type":"result""#]
        .iter()
        .any(|kind| {
            begin
                .windows(kind.len())
                .any(|part| part == kind.as_bytes())
        })
}

fn process_ended() -> Failure {
    Failure::new(
        FailureKind::Crashed,
        "The agent's process ended before its task did.",
    )
}

impl Agent for ClaudeAgent {
    fn send_prompt(&mut self) {
        let prompt = std::mem::take(&mut self.prompt);
        self.queue(&prompt);
    }

    fn next_event(&mut self) -> BoxFuture<'_, Result<AgentEvent, Failure>> {
        self.next().boxed()
    }

    fn answer_permission(&mut self, question: &str, answer: PermissionDecision) {
        let Some(input) = self.translator.open_requests.remove(question) else {
            return;
        };
        let line = match &answer {
            PermissionDecision::Allow => permission_line(
                question,
                &PermissionResponse::Allow {
                    updated_input: &input,
                },
            ),
            PermissionDecision::Deny(message) => {
                permission_line(question, &PermissionResponse::Deny { message })
            }
        };
        self.queue(&line);
    }

    fn interrupt(&mut self) {
        self.queue(&ControlRequest::Interrupt.line("interrupt"));
    }
}

impl Drop for ClaudeAgent {
    /// Kills the orphan processes that tools have moved to process groups of their own, found by
    /// their marker variable. The agent's own process ends with its group.
    fn drop(&mut self) {
        let task: Arc<str> = std::mem::take(&mut self.task).into();
        self.tracker.spawn(async move {
            for pause in ORPHAN_SCAN_DELAYS {
                sleep(pause).await;
                let task = Arc::clone(&task);
                // An error cannot be reported to anyone: the agent is gone.
                let _ = spawn_blocking(move || orphans::kill_marked(TASK_VARIABLE, &task)).await;
            }
        });
    }
}
