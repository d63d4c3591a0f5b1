//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use clap::ValueHint;
use clap_complete::Shell;

use crate::app;
use crate::config;
use crate::config::Environment;
use crate::config::Flags;
use crate::config::LogFormat;
use crate::config::Settings;
use crate::telemetry;

/// The exit code of a configuration that is refused: `EX_USAGE` of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

const EXAMPLES: &str = "\
Examples:
  Serve Claude on 127.0.0.1:8080, signed in by an API key:
    ANTHROPIC_API_KEY=sk-ant-... claude-switchboard serve
  Serve other machines; they need a key:
    SWITCHBOARD_AUTH__KEYS=my-key claude-switchboard serve --listen 0.0.0.0:8080
  See the settings in force:
    claude-switchboard check-config --config switchboard.toml

Every key of the configuration is also a variable, SWITCHBOARD_SECTION__KEY; docs/CONFIGURATION.md lists them.";

/// A drop-in `OpenAI` API in front of the Claude CLI.
#[derive(Debug, Parser)]
#[command(name = "claude-switchboard", version, about = "A drop-in OpenAI API in front of the Claude CLI")]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until a signal to stop, then finish what runs.
    Serve(Serve),
    /// Print the settings in force, secrets redacted; exit with 64 if they are refused.
    CheckConfig {
        /// A configuration file in TOML.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  claude-switchboard completions bash > \
                            ~/.local/share/bash-completion/completions/claude-switchboard")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Each flag goes before its variable and its key in the file.
#[derive(Debug, clap::Args)]
struct Serve {
    /// A configuration file in TOML; it needs only the keys that it changes.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]; beyond loopback only with keys (see auth.keys).
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Directory for what the server keeps [default: ~/.local/share/claude-switchboard].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
    /// The Claude CLI, a path or a name in PATH [default: claude].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    claude_bin: Option<String>,
    /// The most worker processes at a time [default: 5].
    #[arg(long, value_name = "N")]
    max_workers: Option<u32>,
}

/// Does what the command line asks for, in the given environment.
///
/// # Errors
/// With what to show on the terminal, see [`report`].
pub fn run(cli: Cli, environment: Environment) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(arguments) => serve(arguments, environment),
        Command::CheckConfig { config } => {
            let settings = Settings::load(config.as_deref(), &environment, &Flags::default())?;
            print(settings.to_toml()?.as_bytes())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "claude-switchboard", &mut script);
            print(&script)
        }
    }
}

fn serve(arguments: Serve, environment: Environment) -> anyhow::Result<()> {
    let flags = Flags {
        listen: arguments.listen,
        data_dir: arguments.data_dir,
        claude_binary: arguments.claude_bin,
        max_workers: arguments.max_workers,
    };
    let settings = Settings::load(arguments.config.as_deref(), &environment, &flags)?;
    telemetry::init(&telemetry::Config {
        filter: settings.log.filter.clone(),
        format: match settings.log.format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
    })?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(app::run(settings, environment))
}

/// Writes to stdout. A reader that has gone away, such as `head`, is no failure.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows an error on the terminal, one line for what happened and one for what to do, and says how to exit.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let refused = error.downcast_ref::<config::Error>();
    let hint = match refused {
        Some(refused) => refused.hint(),
        None => "`claude-switchboard check-config` shows the settings in force, SWITCHBOARD_LOG__FILTER=debug more of \
                 what happens"
            .to_owned(),
    };
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: {error:#}\nhint: {hint}");
    ExitCode::from(if refused.is_some() { BAD_CONFIGURATION } else { 1 })
}
