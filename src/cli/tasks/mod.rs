//! `tasks`: agents on a running server, followed from the terminal.

mod events;
mod outcome;
mod questions;
mod session;

use std::fs;
use std::io;
use std::io::IsTerminal as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::Subcommand;
use clap::ValueHint;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use serde_json::json;
use tokio::select;
use tokio::signal::unix::Signal;

use super::CommandError;
use super::INTERRUPTED;
use super::endpoint::EndpointArguments;
use super::screen::Screen;
use super::server_client::ServerClient;
use super::server_client::block_on_calls;
use super::server_client::read_json_body;
use super::terminal_input::listen_for_interrupts;
use super::terminal_input::read_lines;
use crate::app::AGENT_TOOLS;
use crate::config::Environment;

use outcome::FollowedTask;
use session::FollowProgress;
use session::TaskSession;

/// Path by which tasks are created.
const TASKS_PATH: &str = "/v1/tasks";
/// Preset and permission mode without `--preset`: all tools, and a question before each action that
/// needs approval.
const DEFAULT_PRESET: &str = "full";
const DEFAULT_PERMISSION_MODE: &str = "default";

const EXAMPLES: &str = "\
Examples:
  Have tests mended in this folder, and answer the agent's questions:
    claude-switchboard tasks run \"Make the tests pass\"
  Without questions, for at most half a dollar, in a script:
    claude-switchboard tasks run \"Update the changelog\" --workspace /srv/site \\
      --allow Edit --allow Write --max-cost 0.50
  Read only, and the result as JSON:
    claude-switchboard tasks run \"Is there dead code?\" --preset read_only --json

The server needs tasks.roots, and the key the permission tasks. Ctrl-C
interrupts the task, a second one leaves it. The exit code is 0 if the task was
completed, 1 if it failed, and 130 if it was interrupted.";

/// Operations on tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TasksCommand {
    /// Run an agent on a running server, and follow it to its end.
    Run(RunTaskArguments),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunTaskArguments {
    /// Instructions for the agent.
    #[arg(value_name = "PROMPT")]
    prompt: String,
    /// Folder of the server in which the agent works.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    workspace: PathBuf,
    /// Model of the agent [default: `tasks.model` of the server].
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Maximum cost in dollars, such as 2.50 [default: `tasks.max_budget_usd` of the server].
    #[arg(long, value_name = "USD")]
    max_cost: Option<String>,
    /// Tool that needs no approval; may be given for several.
    #[arg(long, value_name = "TOOL", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(AGENT_TOOLS.iter().map(|(tool, _)| *tool)))]
    allow: Vec<String>,
    /// Tools and permissions of the server's preset, instead of all tools and questions.
    #[arg(long, value_name = "PRESET", value_parser = ["read_only", "edit", "full"])]
    preset: Option<String>,
    /// Print each event, and the task at its end, as a line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    endpoint: EndpointArguments,
}

impl TasksCommand {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// Fails when the server refuses the task, or the task fails.
    pub(super) fn run(&self, environment: &Environment) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => run_task(arguments, environment),
        }
    }
}

/// Creates a task and follows it.
fn run_task(arguments: &RunTaskArguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let endpoint = arguments.endpoint.resolve(environment)?;
    endpoint.warn_of_clear_text();
    let workspace = find_workspace(&arguments.workspace)?;
    let body = arguments.request_body(&workspace);
    let client = ServerClient::new(endpoint);
    let code = block_on_calls(async {
        // Listened for before the task exists, so that no Ctrl-C leaves it alone.
        let interrupts = listen_for_interrupts()?;
        let leaving = listen_for_interrupts()?;
        select! {
            code = arguments.run_to_end(client, &body, interrupts) => code,
            () = second_interrupt(leaving) => {
                Screen::tell("\n[left; the task may still run: GET /v1/tasks shows it]");
                Ok(INTERRUPTED)
            }
        }
    })?;
    Ok(ExitCode::from(code))
}

/// Waits until Ctrl-C was pressed twice, whatever the server does meanwhile.
async fn second_interrupt(mut interrupts: Signal) {
    interrupts.recv().await;
    interrupts.recv().await;
}

/// Follows a task to its end, shows how it ended, and returns the exit code.
async fn follow_task(session: &mut TaskSession, prints_json: bool) -> anyhow::Result<u8> {
    session.follow().await?;
    let task = session.retrieve().await?;
    let outcome = FollowedTask(&task);
    if prints_json {
        session.screen.show(&format!("{task}\n"))?;
    } else {
        Screen::tell(&outcome.summary());
    }
    Ok(outcome.exit_code()?)
}

impl RunTaskArguments {
    /// Creates the task, follows it to its end and returns the exit code.
    async fn run_to_end(
        &self,
        client: ServerClient,
        body: &Value,
        interrupts: Signal,
    ) -> anyhow::Result<u8> {
        let answers = io::stdin().is_terminal().then(read_lines).transpose();
        let answers = answers.context("the terminal cannot be read")?;
        let created = read_json_body(client.post_json(TASKS_PATH, body).await?).await?;
        let mut session = TaskSession {
            client,
            id: created["id"].as_str().unwrap_or_default().to_owned(),
            screen: Screen::of_stdout(),
            prints_json: self.json,
            allowed: self.allow.iter().cloned().collect(),
            answers,
            interrupts,
            progress: FollowProgress::default(),
        };
        if !self.json {
            let status = created["status"].as_str().unwrap_or_default();
            Screen::tell(&format!("[{} is {status}]", session.id));
        }
        follow_task(&mut session, self.json).await
    }

    /// Returns the request that creates the task.
    fn request_body(&self, workspace: &str) -> Value {
        let mut body = json!({"prompt": self.prompt, "workspace": workspace});
        match &self.preset {
            Some(preset) => body["preset"] = json!(preset),
            None => {
                body["preset"] = json!(DEFAULT_PRESET);
                body["permission_mode"] = json!(DEFAULT_PERMISSION_MODE);
            }
        }
        for (field, value) in [("model", &self.model), ("max_budget_usd", &self.max_cost)] {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        body
    }
}

/// Returns the absolute path of a workspace. One that is absolute already may be on another machine.
fn find_workspace(given: &Path) -> anyhow::Result<String> {
    let hint = "name a folder of the server by its absolute path: --workspace /srv/work";
    let path = if given.is_absolute() {
        given.to_owned()
    } else {
        fs::canonicalize(given).map_err(|error| {
            let message = format!("the workspace {} is not here: {error}", given.display());
            CommandError::new(message, hint)
        })?
    };
    let path = path.into_os_string().into_string().map_err(|path| {
        let message = format!("the workspace {} is not UTF-8", path.display());
        CommandError::new(message, hint)
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;
    use crate::cli::CliCommand;

    fn parse(arguments: &[&str]) -> RunTaskArguments {
        let line = ["claude-switchboard", "tasks", "run", "Do it"];
        let cli = Cli::try_parse_from(line.iter().chain(arguments)).unwrap();
        match cli.command {
            CliCommand::Tasks(TasksCommand::Run(arguments)) => arguments,
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn request_asks_before_actions_unless_a_preset_is_named() {
        let body = parse(&[]).request_body("/work");
        let expected = json!({
            "prompt": "Do it", "workspace": "/work", "preset": "full", "permission_mode": "default",
        });
        assert_eq!(body, expected);
        let given = ["--preset", "edit", "--model", "haiku", "--max-cost", "0.50"];
        let expected = json!({
            "prompt": "Do it", "workspace": "/work", "preset": "edit", "model": "haiku", "max_budget_usd": "0.50",
        });
        assert_eq!(parse(&given).request_body("/work"), expected);
    }

    #[test]
    fn allowed_tools_are_known_ones() {
        let arguments = parse(&["--allow", "Edit,Write", "--allow", "Bash"]);
        assert_eq!(arguments.allow, ["Edit", "Write", "Bash"]);
        let line = ["claude-switchboard", "tasks", "run", "x", "--allow", "Bas"];
        let error = Cli::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains("Bash"), "{error}");
    }

    #[test]
    fn relative_workspace_becomes_absolute_and_must_exist() {
        let here = find_workspace(Path::new(".")).unwrap();
        assert!(Path::new(&here).is_absolute(), "{here}");
        assert_eq!(
            find_workspace(Path::new("/of/the/server")).unwrap(),
            "/of/the/server"
        );
        let error = find_workspace(Path::new("no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("is not here"), "{error}");
    }
}
