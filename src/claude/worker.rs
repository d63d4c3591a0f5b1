//! One process as a worker that answers turns.

use std::io;

use tokio::process::{ChildStdin, ChildStdout};

use crate::domain::Failure;
use crate::domain::Model;
use crate::domain::TurnEvent;
use crate::pool::LaunchError;
use crate::pool::Worker;
use crate::worker::TurnWorker;
use crate::worker::WorkerTurn;

use super::config::Config;
use super::process::Process;
use super::session::Session;
use super::start_check;
use super::talk::Talk;

/// A live CLI process.
#[derive(Debug)]
pub struct ClaudeWorker {
    process: Process,
    talk: Talk<ChildStdout, ChildStdin>,
}

impl ClaudeWorker {
    /// Shakes hands with a process that was just started, and checks it. The caller bounds the time it takes.
    ///
    /// # Errors
    /// With how the process ended, or why it must not be used.
    pub(super) async fn open(mut process: Process, config: &Config) -> Result<Self, LaunchError> {
        let failed = |message: String| LaunchError { message, is_permanent: false };
        let (stdout, stdin) = process.take_pipes().map_err(|error: io::Error| failed(error.to_string()))?;
        let mut session = Session::new(stdout, stdin, config);
        let models = match session.handshake().await {
            Ok(models) => models,
            Err(failure) => {
                let words = process.last_words().await;
                return Err(failed(format!("the CLI did not answer the handshake ({failure}): {words}")));
            }
        };
        if config.sign_in.heeds_base_url() {
            let checked = start_check::check(&mut session, &models, config).await;
            checked.map_err(|error| LaunchError {
                message: error.to_string(),
                is_permanent: error.is_permanent(),
            })?;
        }
        Ok(Self { process, talk: Talk::new(session, models, config) })
    }
}

impl TurnWorker for ClaudeWorker {
    async fn start(&mut self, turn: &WorkerTurn) -> Result<(), Failure> {
        self.talk.start(turn).await
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        let event = self.talk.next_event().await;
        if let Err(failure) = &event
            && failure.is_workers_fault()
        {
            let (id, words) = (self.process.id(), self.process.last_words().await);
            tracing::warn!(process.id = id, %words, %failure, "a worker failed");
        }
        event
    }

    async fn count_tokens(&mut self, turn: &WorkerTurn) -> Result<u64, Failure> {
        self.talk.count_tokens(turn).await
    }

    fn models(&self) -> &[Model] {
        &self.talk.models
    }
}

impl Worker for ClaudeWorker {
    async fn reset(&mut self) -> Result<(), String> {
        self.talk.reset().await
    }

    fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }
}

impl Drop for ClaudeWorker {
    fn drop(&mut self) {
        let skipped_lines = self.talk.session.skipped_lines();
        tracing::debug!(process.id = self.process.id(), skipped_lines, "a worker is ended");
    }
}
