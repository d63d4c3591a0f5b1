//! CLI process as a worker that answers turns.

use std::io;
use std::sync::Arc;

use tokio::process::{ChildStdin, ChildStdout};

use crate::domain::Failure;
use crate::domain::Model;
use crate::domain::TurnEvent;
use crate::engine::pool::LaunchError;
use crate::engine::pool::Worker;
use crate::engine::worker::TurnWorker;
use crate::engine::worker::WorkerTurn;
use crate::telemetry::logs::ErrorChain;

use super::process::Process;
use super::reset_error::ResetError;
use super::session::CliSession;
use super::setup::CliSetup;
use super::start::start_session;
use super::subscription_limit::SubscriptionLimit;
use super::turn_driver::TurnDriver;

/// Worker with a live CLI process.
#[derive(Debug)]
pub struct ClaudeWorker {
    process: Process,
    driver: TurnDriver<ChildStdout, ChildStdin>,
}

impl ClaudeWorker {
    /// Makes a process that was just started ready for turns.
    ///
    /// # Errors
    /// Fails if the process must not be used. The message contains the reason; how the process
    /// ended and its standard error are logged.
    pub(super) async fn open(mut process: Process, setup: &CliSetup) -> Result<Self, LaunchError> {
        let failed = |error: io::Error| LaunchError {
            message: "the Claude CLI could not be reached".to_owned(),
            source: Some(Arc::new(error)),
            is_permanent: false,
        };
        let (stdout, stdin) = process.take_pipes().map_err(failed)?;
        let mut session = CliSession::new(stdout, stdin, &setup.config);
        session.limit = SubscriptionLimit::reporting_to(setup.plan.clone());
        match start_session(&mut session, setup).await {
            Ok(models) => Ok(Self {
                process,
                driver: TurnDriver::new(session, models, setup),
            }),
            Err(error) => {
                // Logged only: both may name paths of this machine, which are not for clients.
                let id = process.id();
                let words = process.describe_exit().await;
                let message = ErrorChain(&error).to_string();
                tracing::warn!(worker.pid = id, exit = %words, error = message, "worker process not usable");
                Err(LaunchError {
                    message,
                    // The message has all causes: clients may see them.
                    source: None,
                    is_permanent: error.is_permanent(),
                })
            }
        }
    }
}

impl TurnWorker for ClaudeWorker {
    async fn start(&mut self, turn: &WorkerTurn) -> Result<(), Failure> {
        self.driver.start(turn).await
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        let event = self.driver.next_event().await;
        if let Err(failure) = &event
            && failure.is_workers_fault()
        {
            let id = self.process.id();
            let words = self.process.describe_exit().await;
            tracing::warn!(worker.pid = id, exit = %words, error = %failure, "worker failed");
        }
        event
    }

    async fn count_tokens(&mut self, turn: &WorkerTurn) -> Result<u64, Failure> {
        self.driver.count_tokens(turn).await
    }

    fn models(&self) -> &[Model] {
        &self.driver.models
    }
}

impl Worker for ClaudeWorker {
    type ResetError = ResetError;

    async fn reset(&mut self) -> Result<(), ResetError> {
        self.driver.reset().await
    }

    fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    async fn is_responsive(&mut self) -> bool {
        self.driver.session.is_responsive().await
    }
}

impl Drop for ClaudeWorker {
    fn drop(&mut self) {
        let skipped_lines = self.driver.session.skipped_lines();
        tracing::debug!(
            worker.pid = self.process.id(),
            skipped_lines,
            "worker ended"
        );
    }
}
