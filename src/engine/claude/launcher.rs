//! Launcher of CLI processes for the pool.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::task::TaskTracker;

use crate::engine::pool::LaunchError;
use crate::engine::pool::Launcher;

use super::agent::ClaudeRunner;
use super::command;
use super::process::{Program, Spawner, is_program};
use super::setup::CliSetup;
use super::version::{TESTED, Version};
use super::worker::ClaudeWorker;

const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// Error message if the program of the CLI is missing.
const PROGRAM_MISSING: &str =
    "the program of the Claude CLI is missing on this server; its operator must install it again";

/// Launcher of workers that are CLI processes.
#[derive(Debug)]
pub struct ClaudeLauncher {
    setup: CliSetup,
    program: Program,
    instance: String,
    spawner: Spawner,
    version: Version,
}

/// Reader of the version of an installed CLI, which it runs for that. Clones run the same one.
#[derive(Debug, Clone)]
pub struct CliVersionReader {
    program: Program,
    spawner: Spawner,
}

/// Reason why the CLI cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The program does not exist.
    #[error(
        "the Claude CLI `{0}` was not found; install it (npm install -g @anthropic-ai/claude-code@{tested}) or name it with --claude-bin",
        tested = TESTED
    )]
    NotFound(String),
    /// The home of the workers could not be created.
    #[error("the home of the workers cannot be created in server.data_dir")]
    Home(#[source] io::Error),
    /// The program could not be run.
    #[error("the Claude CLI could not be run")]
    Run(#[source] io::Error),
    /// The output of `--version` is not a version.
    #[error(
        "`{program} --version` printed {output:?}, which is not a version of the Claude CLI; name the CLI with --claude-bin"
    )]
    NoVersion {
        /// Path of the program.
        program: String,
        /// Output of the program.
        output: String,
    },
}

impl ClaudeLauncher {
    /// Finds the CLI, reads its version and prepares to start it for the server whose data
    /// directory has the id `instance`.
    ///
    /// # Errors
    /// Fails if the CLI is missing or cannot be run.
    pub async fn prepare(
        setup: CliSetup,
        instance: &str,
        tracker: TaskTracker,
    ) -> Result<Self, SetupError> {
        let path = find(&setup)?;
        command::create_home(&setup).map_err(SetupError::Home)?;
        let program = Program {
            path,
            arguments: command::arguments(&setup)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            environment: command::worker_environment(&setup, instance)
                .into_iter()
                .collect(),
            directory: command::home(&setup),
            user: None,
            is_agent: false,
        };
        let spawner = Spawner::start(tracker).map_err(SetupError::Run)?;
        let reader = CliVersionReader::new(&program, &spawner);
        let version = reader.read().await?;
        let path = program.path.display();
        tracing::info!(%version, tested = %TESTED, program = %path, "Claude CLI found");
        Ok(Self {
            setup,
            program,
            instance: instance.to_owned(),
            spawner,
            version,
        })
    }

    /// Returns the version of the CLI.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Creates a reader of the version that is installed now.
    pub fn version_reader(&self) -> CliVersionReader {
        CliVersionReader::new(&self.program, &self.spawner)
    }

    /// Creates a runner of agents with the same CLI.
    pub fn runner(&self) -> ClaudeRunner {
        let setup = self.setup.clone();
        let path = self.program.path.clone();
        ClaudeRunner::new(setup, path, self.instance.clone(), self.spawner.clone())
    }

    async fn open(&self) -> Result<ClaudeWorker, LaunchError> {
        let process = self
            .spawner
            .spawn(self.program.clone())
            .await
            .map_err(|error| LaunchError {
                message: "the Claude CLI could not be started".to_owned(),
                source: Some(Arc::new(error)),
                is_permanent: false,
            })?;
        ClaudeWorker::open(process, &self.setup).await
    }

    /// Returns the error of a launch if the program is missing. Not permanent: the program is
    /// absent for a moment while the CLI is updated.
    fn missing_program_error(&self) -> Option<LaunchError> {
        let message = program_missing(&self.program.path)?.to_owned();
        Some(LaunchError {
            message,
            source: None,
            is_permanent: false,
        })
    }
}

impl CliVersionReader {
    /// Creates a reader that runs `program` with `--version` instead of its own arguments.
    fn new(program: &Program, spawner: &Spawner) -> Self {
        Self {
            program: Program {
                arguments: vec!["--version".to_owned()],
                ..program.clone()
            },
            spawner: spawner.clone(),
        }
    }

    /// Runs the CLI once, and returns its version. Dropping the future ends the process.
    ///
    /// # Errors
    /// Fails if the CLI cannot be run, or what it prints is not a version.
    pub async fn read(&self) -> Result<Version, SetupError> {
        let program = self.program.clone();
        let mut process = self.spawner.spawn(program).await.map_err(SetupError::Run)?;
        let (stdout, _stdin) = process.take_pipes().map_err(SetupError::Run)?;
        let mut output = Vec::new();
        let mut stdout = stdout.take(1024);
        match tokio::time::timeout(VERSION_TIMEOUT, stdout.read_to_end(&mut output)).await {
            Ok(read) => read.map_err(SetupError::Run)?,
            Err(elapsed) => {
                return Err(SetupError::Run(io::Error::new(
                    io::ErrorKind::TimedOut,
                    elapsed,
                )));
            }
        };
        let output = String::from_utf8_lossy(&output).trim().to_owned();
        let Some(version) = Version::parse(&output) else {
            return Err(SetupError::NoVersion {
                program: self.program.path.display().to_string(),
                output,
            });
        };
        Ok(version)
    }
}

/// Logs that the CLI's `program` is missing, if so, and returns the error message for clients.
pub(super) fn program_missing(program: &Path) -> Option<&'static str> {
    // The path is logged only: clients need not know the paths of this machine.
    (!is_program(program)).then(|| {
        tracing::error!(program = %program.display(), "Claude CLI program missing");
        PROGRAM_MISSING
    })
}

impl Launcher for ClaudeLauncher {
    type Worker = ClaudeWorker;

    async fn launch(&self) -> Result<ClaudeWorker, LaunchError> {
        let begun = tokio::time::Instant::now();
        let worker = self
            .open()
            .await
            .map_err(|error| self.missing_program_error().unwrap_or(error))?;
        tracing::debug!(duration_ms = begun.elapsed().as_millis(), "worker started");
        Ok(worker)
    }
}

fn find(setup: &CliSetup) -> Result<PathBuf, SetupError> {
    let binary = &setup.config.binary;
    let not_found = || SetupError::NotFound(binary.display().to_string());
    if binary.components().count() > 1 {
        // Absolute, because processes run in another directory.
        return std::fs::canonicalize(binary).map_err(|_| not_found());
    }
    let path = setup.environment.get("PATH").ok_or_else(not_found)?;
    std::env::split_paths(path)
        .map(|folder| folder.join(binary))
        .find(|file| is_program(file))
        .ok_or_else(not_found)
}
