//! Command line, with a module for each command that is more than a line.

mod admin;
mod batch;
mod chat;
mod connect;
mod control_characters;
mod cost;
mod dashboard;
mod doctor;
mod duration;
mod endpoint;
mod health;
mod help;
mod hooks;
mod init;
mod keys;
mod ledger;
mod manual;
mod progress;
mod projects;
mod reconnect;
mod route;
mod screen;
mod serve;
mod server_client;
mod store;
mod store_copy;
mod table;
mod tasks;
mod terminal_input;
mod top;
mod usage;

use std::io::BufRead as _;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use clap::ValueHint;
use clap_complete::Shell;

use crate::app::AdminClientError;
use crate::app::CopyRefused;
use crate::app::RecordsElsewhere;
use crate::app::RecordsError;
use crate::app::RecordsInUse;
use crate::app::SharedCacheError;
use crate::config;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::runtime::platform;

use batch::BatchArguments;
use chat::ChatArguments;
use connect::ConnectArguments;
use control_characters::without_control_characters;
use dashboard::DashboardArguments;
use doctor::DoctorArguments;
use health::HealthArguments;
use hooks::HooksCommand;
use init::InitArguments;
use keys::KeysCommand;
use ledger::LedgerCommand;
use manual::ManArguments;
use projects::ProjectsCommand;
use route::RouteArguments;
use serve::ServeArguments;
use store::StoreCommand;
use tasks::TasksCommand;
use top::TopArguments;
use usage::UsageArguments;

/// Exit code for a refused configuration: `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;
/// Advice on an error without its own.
const DEFAULT_HINT: &str = "`claude-switchboard check-config` shows the settings in force, SWITCHBOARD_LOG__FILTER=debug more of what \
                            happens";
/// Advice on a data directory that another server holds.
const DATA_DIR_IN_USE: &str = "stop that server, which `claude-switchboard doctor` shows, or start this one with its own \
                               directory and address: --data-dir DIR --listen ADDR:PORT";
/// Exit code after Ctrl-C, as shells have it: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

/// A drop-in `OpenAI` API in front of the Claude CLI.
#[derive(Debug, Parser)]
#[command(
    name = "claude-switchboard",
    version,
    about = "A drop-in OpenAI API in front of the Claude CLI"
)]
#[command(help_template = help::TEMPLATE, after_help = help::EXAMPLES)]
#[command(max_term_width = help::MAX_WIDTH, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Write a configuration and make the first key.
    Init(InitArguments),
    /// Serve until a signal to stop, then let running requests finish.
    Serve(ServeArguments),
    /// Chat with a running server on the terminal.
    Chat(ChatArguments),
    /// Run agents on a running server, and follow them.
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// Run a file of requests on a running server, and fetch the answers.
    Batch(BatchArguments),
    /// Show live figures of a running server: workers, queue, requests, cost.
    Top(TopArguments),
    /// Set a client up for a server, such as Codex or Claude Code.
    Connect(ConnectArguments),
    /// Ask a running server whether it is healthy; the exit code says it.
    Health(HealthArguments),
    /// Print the settings in force, secrets redacted; exit with 64 if they are refused.
    CheckConfig {
        /// A configuration file in TOML.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Check the setup, a running server, or the rules by model against Anthropic.
    Doctor(DoctorArguments),
    /// Show which models the routing rules choose for requests, and the savings.
    Route(RouteArguments),
    /// List the hooks, or show what they do with a request, without a server and without a key.
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Print a link that signs in to the dashboard of the running server, or list its sessions.
    Dashboard(DashboardArguments),
    /// Create, list, rotate and revoke keys, whether or not the server runs.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Create and list projects and set their budgets, whether or not the server runs.
    #[command(subcommand)]
    Projects(ProjectsCommand),
    /// Print the usage, whether or not the server runs.
    Usage(UsageArguments),
    /// Back up or verify the ledger, whether or not the server runs, or restore it.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Back up or verify all records, whether or not the server runs, or restore them.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the manual page, or write the pages of all commands.
    Man(ManArguments),
    /// Print completions for a shell.
    #[command(after_help = help::COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Error of a command, with advice on what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct CommandError {
    message: String,
    hint: &'static str,
}

impl CommandError {
    fn new(message: String, hint: &'static str) -> Self {
        Self { message, hint }
    }
}

/// Runs the command of `cli` in the given environment, and returns its exit code.
///
/// # Errors
/// Returns the error to show on the terminal, see [`report`].
pub fn run(cli: Cli, environment: Environment) -> anyhow::Result<ExitCode> {
    // Processes of the same user, such as agents, can then neither read the memory and environment
    // of this process nor trace it. A failure is no reason to refuse the command.
    let _ = platform::forbid_inspection();
    let environment = match cli.command {
        // The server first hides the variables that it was started with.
        CliCommand::Serve(_) | CliCommand::Man(_) | CliCommand::Completions { .. } => environment,
        _ => environment.with_secret_files()?,
    };
    let done = match cli.command {
        CliCommand::Doctor(arguments) => return doctor::run(&arguments, &environment),
        CliCommand::Tasks(command) => return command.run(&environment),
        CliCommand::Batch(arguments) => return batch::run(&arguments, &environment),
        CliCommand::Health(arguments) => return health::run(&arguments, &environment),
        CliCommand::Init(arguments) => init::run(&arguments, &environment),
        CliCommand::Serve(arguments) => serve::serve(arguments, environment),
        CliCommand::CheckConfig { config } => check_config(config.as_deref(), &environment),
        CliCommand::Top(arguments) => top::run(&arguments, &environment),
        CliCommand::Chat(arguments) => chat::run(arguments, &environment),
        CliCommand::Connect(arguments) => connect::run(&arguments, &environment),
        CliCommand::Route(arguments) => print(route::explain(&arguments, &environment)?.as_bytes()),
        CliCommand::Hooks(command) => print(hooks::run(&command, &environment)?.as_bytes()),
        CliCommand::Dashboard(arguments) => print(arguments.run(&environment)?.as_bytes()),
        CliCommand::Keys(keys) => print(keys.run(&environment)?.as_bytes()),
        CliCommand::Projects(projects) => print(projects.run(&environment)?.as_bytes()),
        CliCommand::Usage(arguments) => print(usage::report(&arguments, &environment)?.as_bytes()),
        CliCommand::Store(command) => print(store::run(&command, &environment)?.as_bytes()),
        CliCommand::Ledger(command) => print(ledger::run(&command, &environment)?.as_bytes()),
        CliCommand::Man(arguments) => manual::run(&arguments),
        CliCommand::Completions { shell } => print_completions(shell),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn check_config(config: Option<&Path>, environment: &Environment) -> anyhow::Result<()> {
    let settings = Settings::load(config, environment, &CommandLineFlags::default())?;
    let notices: String = settings
        .notices
        .iter()
        .map(|notice| format!("# {notice}\n"))
        .collect();
    print(format!("{notices}{}", settings.printed).as_bytes())
}

fn print_completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "claude-switchboard",
        &mut script,
    );
    print(&script)
}

/// Writes to stdout. A closed pipe, such as of `head`, is not an error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks a question on the terminal, and returns true if the answer is yes.
fn confirm(question: &str) -> anyhow::Result<bool> {
    print(format!("{question} [y/N] ").as_bytes())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}

/// Returns the advice that belongs to the kind of the error, if there is one.
fn find_advice(error: &anyhow::Error) -> Option<String> {
    if let Some(refused) = error.downcast_ref::<config::Error>() {
        return Some(refused.hint());
    }
    let advice = if let Some(error) = error.downcast_ref::<CommandError>() {
        error.hint
    } else if let Some(error) = error.downcast_ref::<AdminClientError>() {
        error.hint()
    } else if let Some(error) = error.downcast_ref::<RecordsError>() {
        error.hint()
    } else if let Some(error) = error.downcast_ref::<RecordsElsewhere>() {
        error.hint()
    } else if let Some(error) = error.downcast_ref::<SharedCacheError>() {
        error.hint()?
    } else if let Some(error) = error.downcast_ref::<RecordsInUse>() {
        error.hint()
    } else if let Some(error) = error.downcast_ref::<CopyRefused>() {
        error.hint()
    } else {
        let error = error.downcast_ref::<std::io::Error>()?;
        if error.kind() != std::io::ErrorKind::ResourceBusy {
            return None;
        }
        DATA_DIR_IN_USE
    };
    Some(advice.to_owned())
}

/// Prints an error to stderr, one line for what happened and one for what to do, and returns the
/// exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let hint = find_advice(error).unwrap_or_else(|| DEFAULT_HINT.to_owned());
    // A server's words may be in it.
    let text = format!("error: {error:#}\nhint: {hint}");
    // A failed write is ignored: stderr may be closed.
    let _ = writeln!(std::io::stderr(), "{}", without_control_characters(&text));
    ExitCode::from(if error.is::<config::Error>() {
        BAD_CONFIGURATION
    } else {
        1
    })
}
