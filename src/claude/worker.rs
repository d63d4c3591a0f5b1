//! One process as a worker that answers turns.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{ChildStdin, ChildStdout};

use crate::conversations::Errand;
use crate::conversations::TurnWorker;
use crate::domain::Failure;
use crate::domain::Model;
use crate::domain::TurnEvent;
use crate::pool::Stake;
use crate::pool::Worker;

use super::config::Config;
use super::process::Process;
use super::session::Session;
use super::settings;
use super::talk::Talk;

/// A live CLI process.
#[derive(Debug)]
pub struct ClaudeWorker {
    process: Process,
    talk: Talk<ChildStdout, ChildStdin>,
}

impl ClaudeWorker {
    /// Shakes hands with a process that was just started. The caller bounds the time it takes.
    ///
    /// # Errors
    /// With how the process ended or what it refused.
    pub(super) async fn open(mut process: Process, config: &Config) -> Result<Self, String> {
        let (stdout, stdin) = process.take_pipes().map_err(|error: io::Error| error.to_string())?;
        let mut session = Session::new(stdout, stdin, config);
        match prepare(&mut session, config).await {
            Ok(models) => Ok(Self { process, talk: Talk::new(session, models, config) }),
            Err(reason) => {
                let words = process.last_words().await;
                Err(format!("the CLI did not answer the handshake ({reason}): {words}"))
            }
        }
    }
}

/// Shakes hands, and rehearses where no call can come of it.
async fn prepare<R, W>(session: &mut Session<R, W>, config: &Config) -> Result<Vec<Model>, String>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let models = session.handshake().await.map_err(|failure| failure.message)?;
    if config.rehearse && config.sign_in.heeds_base_url() {
        let (away, back) = settings::rehearsal(config.base_url(), config.max_retries);
        session.rehearse(away, back).await?;
    }
    Ok(models)
}

impl TurnWorker for ClaudeWorker {
    async fn start(&mut self, errand: &Errand) -> Result<(), Failure> {
        self.talk.start(errand).await
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

    async fn count_tokens(&mut self, errand: &Errand) -> Result<u64, Failure> {
        self.talk.count_tokens(errand).await
    }

    fn models(&self) -> &[Model] {
        &self.talk.models
    }
}

impl Worker for ClaudeWorker {
    type Errand = Errand;

    fn done_of(&self, errand: &Errand) -> usize {
        self.talk.done_of(errand)
    }

    fn stake(&self) -> Stake {
        self.talk.stake()
    }

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
