//! One process as a worker that answers turns.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{ChildStdin, ChildStdout};
use uuid::Uuid;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Model;
use crate::domain::Role;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::TurnWorker;
use crate::pool::Worker;

use super::config::Config;
use super::process::Process;
use super::session::Session;
use super::settings::{self, Settings};
use super::sign_in::SignIn;
use super::translate::{Step, Translator};

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
    async fn start(&mut self, turn: &Turn) -> Result<(), Failure> {
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

/// What is going on with the process.
#[derive(Debug)]
enum Phase {
    /// Its transcript is empty.
    Clean,
    /// A turn is being prepared. Left there, nobody knows how much of it has arrived.
    Preparing,
    /// The model is at work.
    Running(Transcript),
    /// The answer is whole or the turn has failed.
    Answered(Transcript),
}

/// What must be forgotten before the next turn.
#[derive(Debug)]
struct Transcript {
    translator: Translator,
    /// The first user message; `None` when the conversation began with an answer, which no rewind reaches.
    first: Option<String>,
    last: String,
}

/// Everything about the worker but its process, so that it can be tried without one.
#[derive(Debug)]
struct Talk<R, W> {
    session: Session<R, W>,
    models: Vec<Model>,
    sign_in: SignIn,
    base_url: Option<String>,
    event_timeout: Duration,
    control_timeout: Duration,
    settings: Settings,
    is_limited: bool,
    phase: Phase,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Talk<R, W> {
    fn new(session: Session<R, W>, models: Vec<Model>, config: &Config) -> Self {
        let base_url = config.base_url().cloned();
        Self {
            session,
            models,
            sign_in: config.sign_in,
            settings: Settings::at_start(base_url.as_ref()),
            base_url,
            event_timeout: config.event_timeout,
            control_timeout: config.control_timeout,
            is_limited: false,
            phase: Phase::Clean,
        }
    }

    async fn start(&mut self, turn: &Turn) -> Result<(), Failure> {
        self.phase = Phase::Preparing;
        self.configure(turn).await?;
        let mut first = None;
        for message in &turn.history {
            let uuid = Uuid::new_v4().to_string();
            match message.role {
                Role::User => {
                    self.session.replay_user(&uuid, &message.parts).await?;
                    first.get_or_insert(uuid);
                }
                Role::Assistant => {
                    self.session.replay_assistant(&uuid, turn.model.as_str(), &message.parts).await?;
                }
            }
        }
        let uuid = Uuid::new_v4().to_string();
        self.session.queue_prompt(&uuid, &turn.prompt);
        let leads_with_answer = turn.history.first().is_some_and(|message| message.role == Role::Assistant);
        self.phase = Phase::Running(Transcript {
            translator: Translator::new(uuid.clone()),
            first: if leads_with_answer { None } else { first.or_else(|| Some(uuid.clone())) },
            last: uuid,
        });
        Ok(())
    }

    async fn configure(&mut self, turn: &Turn) -> Result<(), Failure> {
        let wanted = Settings::for_turn(turn, self.sign_in, self.base_url.as_ref());
        self.session.configure(self.settings.changes_to(&wanted)).await?;
        self.settings = wanted;
        self.is_limited = turn.sampling.max_output_tokens.is_some();
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        let Phase::Running(transcript) = &mut self.phase else { return Ok(None) };
        let translator = &mut transcript.translator;
        let step = self.session.read_until(|event| match translator.accept(event) {
            Step::Nothing => None,
            step => Some(step),
        });
        let step = tokio::time::timeout(self.event_timeout, step).await.unwrap_or_else(|_| {
            let seconds = self.event_timeout.as_secs();
            Err(Failure::new(
                FailureKind::TimedOut,
                format!("Nothing came from the model for {seconds} seconds."),
            ))
        });
        match step? {
            Step::Emit(event) => Ok(Some(event)),
            Step::Begin(event) => {
                self.fence();
                Ok(Some(event))
            }
            Step::Finish(finish) => {
                let would_continue = transcript.translator.would_continue(finish.reason);
                self.answered(would_continue);
                Ok(Some(TurnEvent::Finished(finish)))
            }
            Step::Fail(failure) => {
                let is_over = transcript.translator.is_over();
                self.answered(!is_over);
                Err(failure)
            }
            Step::Nothing => Ok(None),
        }
    }

    /// Once the call of a limited turn is under way, no other may follow it.
    fn fence(&mut self) {
        if self.is_limited {
            let fence = settings::fence();
            self.settings.note(fence.clone());
            self.session.queue_variables(fence);
        }
    }

    fn answered(&mut self, interrupt: bool) {
        if let Phase::Running(transcript) = std::mem::replace(&mut self.phase, Phase::Preparing) {
            if interrupt {
                self.session.queue_interrupt();
            }
            self.phase = Phase::Answered(transcript);
        }
    }

    async fn reset(&mut self) -> Result<(), String> {
        let mut transcript = match std::mem::replace(&mut self.phase, Phase::Preparing) {
            Phase::Clean => {
                self.phase = Phase::Clean;
                return Ok(());
            }
            Phase::Preparing => return Err("it was left while a turn was being prepared".to_owned()),
            Phase::Running(transcript) | Phase::Answered(transcript) if transcript.first.is_none() => {
                return Err(format!("its conversation began with an answer ({})", transcript.last));
            }
            Phase::Running(mut transcript) => {
                self.wait_for(&mut transcript.translator, |turn| turn.is_running() || turn.is_over()).await?;
                self.session.queue_interrupt();
                transcript
            }
            Phase::Answered(transcript) => transcript,
        };
        self.wait_for(&mut transcript.translator, Translator::is_over).await?;
        let first = transcript.first.unwrap_or_default();
        self.session.rewind(&first, &transcript.last).await?;
        self.phase = Phase::Clean;
        Ok(())
    }

    /// Reads on until the turn is where it should be.
    async fn wait_for(
        &mut self,
        translator: &mut Translator,
        is_there: impl Fn(&Translator) -> bool,
    ) -> Result<(), String> {
        if is_there(translator) {
            return Ok(());
        }
        let there = self.session.read_until(|event| {
            translator.drain(&event);
            is_there(translator).then_some(())
        });
        match tokio::time::timeout(self.control_timeout, there).await {
            Ok(result) => result.map_err(|failure| failure.message),
            Err(_) => Err("its turn did not end in time".to_owned()),
        }
    }
}
