//! The work of a worker, apart from its process.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use crate::conversations::Errand;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Message;
use crate::domain::Model;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::pool::Stake;

use super::config::Config;
use super::extra_body::{self, answer_tool};
use super::protocol::Event;
use super::session::Session;
use super::settings::{self, Settings};
use super::sign_in::SignIn;
use super::transcript::{Aftermath, Transcript, results};
use super::translate::{Step, Translator};

/// How long the end of an answer waits for what it cost. Usually it is 2 to 8 ms.
const COSTS_TIMEOUT: Duration = Duration::from_millis(250);

/// What is going on with the process.
#[derive(Debug)]
enum Phase {
    /// Its transcript is empty.
    Clean,
    /// A turn is being prepared. Left there, nobody knows how much of it has arrived.
    Preparing,
    /// The model is at work.
    Running(Transcript),
    /// The answer is whole, and the conversation can go on.
    Holding(Transcript),
    /// The model waits for the results of the tools it has called.
    Parked(Transcript),
    /// The turn has failed or was cut short.
    Spent(Transcript),
}

/// Everything about the worker but its process, so that it can be tried without one.
#[derive(Debug)]
pub(super) struct Talk<R, W> {
    pub(super) session: Session<R, W>,
    pub(super) models: Vec<Model>,
    sign_in: SignIn,
    base_url: Option<String>,
    event_timeout: Duration,
    control_timeout: Duration,
    settings: Settings,
    is_limited: bool,
    phase: Phase,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Talk<R, W> {
    pub(super) fn new(session: Session<R, W>, models: Vec<Model>, config: &Config) -> Self {
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

    /// How many messages of the conversation need not be sent.
    pub(super) fn done_of(&self, errand: &Errand) -> usize {
        match &self.phase {
            Phase::Holding(transcript) => transcript.memory.usable(&errand.trail),
            Phase::Parked(transcript) if transcript.awaits(errand) && self.offers(&errand.turn) => {
                transcript.memory.len()
            }
            Phase::Clean | Phase::Preparing | Phase::Running(_) | Phase::Parked(_) | Phase::Spent(_) => 0,
        }
    }

    pub(super) fn stake(&self) -> Stake {
        match &self.phase {
            Phase::Holding(_) => Stake::Work,
            Phase::Parked(_) => Stake::Promise,
            Phase::Clean | Phase::Preparing | Phase::Running(_) | Phase::Spent(_) => Stake::Nothing,
        }
    }

    pub(super) async fn start(&mut self, errand: &Errand) -> Result<(), Failure> {
        let can_go_on = self.done_of(errand) > 0;
        let transcript = match std::mem::replace(&mut self.phase, Phase::Preparing) {
            Phase::Parked(transcript) if can_go_on => return self.resume(transcript, errand).await,
            Phase::Holding(transcript) if can_go_on => self.cut(transcript, errand).await?,
            phase => {
                self.phase = phase;
                self.reset().await.map_err(|error| Failure::new(FailureKind::Crashed, error))?;
                self.phase = Phase::Preparing;
                Transcript::new(errand)
            }
        };
        self.send(transcript, errand).await
    }

    /// Sends what the transcript lacks, and the prompt.
    async fn send(&mut self, mut transcript: Transcript, errand: &Errand) -> Result<(), Failure> {
        let turn = &errand.turn;
        if !self.offers(turn) {
            self.session.offer(&names(turn)).await?;
        }
        self.configure(turn).await?;
        self.replay(&mut transcript, turn).await?;
        let uuid = Uuid::new_v4().to_string();
        self.session.queue_prompt(&uuid, &turn.prompt);
        transcript.begin(errand, &uuid);
        self.session.costs.begin(errand.bill.clone());
        self.phase = Phase::Running(transcript);
        Ok(())
    }

    async fn replay(&mut self, transcript: &mut Transcript, turn: &Turn) -> Result<(), Failure> {
        for message in &turn.history[transcript.memory.len()..] {
            let uuid = Uuid::new_v4().to_string();
            match message.role {
                Role::User => self.session.replay_user(&uuid, &message.parts).await?,
                Role::Assistant => {
                    self.session.replay_assistant(&uuid, turn.model.as_str(), &message.parts).await?;
                }
            }
            transcript.push(message, &uuid);
        }
        Ok(())
    }

    /// Gives the waiting run what it waits for.
    async fn resume(&mut self, mut transcript: Transcript, errand: &Errand) -> Result<(), Failure> {
        self.configure(&errand.turn).await?;
        self.session.give(&results(errand));
        transcript.resume(errand);
        self.session.costs.begin(errand.bill.clone());
        self.phase = Phase::Running(transcript);
        Ok(())
    }

    /// Waits until the last turn is over, and forgets what is not common with `errand`.
    async fn cut(&mut self, mut transcript: Transcript, errand: &Errand) -> Result<Transcript, Failure> {
        let crashed = |error| Failure::new(FailureKind::Crashed, error);
        self.wait_for(&mut transcript.translator, Translator::is_over).await.map_err(crashed)?;
        let length = transcript.memory.usable(&errand.trail);
        if let Some(target) = transcript.memory.cut_at(length) {
            self.session.rewind(target, &transcript.last).await.map_err(crashed)?;
            transcript.memory.truncate(length);
        }
        Ok(transcript)
    }

    /// Whether the process knows the tools of `turn`.
    fn offers(&self, turn: &Turn) -> bool {
        self.session.tools.offers(&names(turn))
    }

    async fn configure(&mut self, turn: &Turn) -> Result<(), Failure> {
        let wanted = Settings::for_turn(turn, self.sign_in, self.base_url.as_ref());
        self.session.configure(self.settings.changes_to(&wanted)).await?;
        self.settings = wanted;
        self.is_limited = turn.sampling.max_output_tokens.is_some();
        Ok(())
    }

    /// How many tokens the prompt has. The CLI has upstream count the transcript alone, so the instructions and the tools
    /// join it as a text; the few tokens by which upstream marks them off are not counted.
    pub(super) async fn count_tokens(&mut self, errand: &Errand) -> Result<u64, Failure> {
        self.reset().await.map_err(|error| Failure::new(FailureKind::Crashed, error))?;
        self.phase = Phase::Preparing;
        let turn = &errand.turn;
        let mut transcript = Transcript::new(errand);
        self.configure(turn).await?;
        self.replay(&mut transcript, turn).await?;
        let mut parts = turn.prompt.clone();
        parts.extend(extra_body::as_text(turn).map(Part::Text));
        let uuid = Uuid::new_v4().to_string();
        self.session.replay_user(&uuid, &parts).await?;
        transcript.push(&Message { role: Role::User, parts }, &uuid);
        transcript.last = uuid;
        transcript.translator = Translator::over();
        self.phase = Phase::Spent(transcript);
        self.session.count_tokens().await
    }

    pub(super) async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        let Phase::Running(transcript) = &mut self.phase else { return Ok(None) };
        let translator = &mut transcript.translator;
        let step = self.session.read_until(|event| match translator.accept(event) {
            Step::Nothing => None,
            step => Some(step),
        });
        let step = tokio::time::timeout(self.event_timeout, step).await.unwrap_or_else(|_| {
            let seconds = self.event_timeout.as_secs();
            let message = format!("Nothing came from the model for {seconds} seconds.");
            Err(Failure::new(FailureKind::TimedOut, message))
        });
        match step? {
            Step::Emit(event) => Ok(Some(event)),
            Step::Begin(event) => {
                self.fence();
                Ok(Some(event))
            }
            Step::Finish(finish) => {
                let session = &self.session;
                let aftermath =
                    transcript.finish(finish.reason, |name| session.tools.offers(&[name.to_owned()]));
                self.answered(aftermath);
                if aftermath != Aftermath::Parked {
                    self.wait_for_costs().await;
                }
                Ok(Some(TurnEvent::Finished(finish)))
            }
            Step::Fail(failure) => {
                if !transcript.translator.is_over() {
                    self.session.queue_interrupt();
                }
                self.spend();
                Err(self.session.limit.explain(failure))
            }
            Step::Nothing => Ok(None),
        }
    }

    /// Reads on until the CLI has told what the turn cost, which is some milliseconds after the answer is whole. A CLI that
    /// takes longer is not waited for: then it is not known.
    async fn wait_for_costs(&mut self) {
        let (Phase::Holding(transcript) | Phase::Spent(transcript)) = &mut self.phase else { return };
        if self.session.costs.is_reported() {
            return;
        }
        let translator = &mut transcript.translator;
        let told = self.session.read_until(|event| {
            translator.drain(&event);
            matches!(event, Event::Result(_)).then_some(())
        });
        match tokio::time::timeout(COSTS_TIMEOUT, told).await {
            Ok(Ok(())) => {}
            // Whoever uses the process next sees that it is gone.
            Ok(Err(failure)) => tracing::debug!(%failure, "the process ended with its answer"),
            Err(_) => tracing::debug!("what a turn cost was not told in time"),
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

    fn answered(&mut self, aftermath: Aftermath) {
        match (aftermath, std::mem::replace(&mut self.phase, Phase::Preparing)) {
            (Aftermath::Whole, Phase::Running(transcript)) => self.phase = Phase::Holding(transcript),
            (Aftermath::Parked, Phase::Running(transcript)) => self.phase = Phase::Parked(transcript),
            (_, phase) => {
                self.phase = phase;
                self.session.queue_interrupt();
                self.spend();
            }
        }
    }

    fn spend(&mut self) {
        if let Phase::Running(transcript) = std::mem::replace(&mut self.phase, Phase::Preparing) {
            self.phase = Phase::Spent(transcript);
        }
    }

    pub(super) async fn reset(&mut self) -> Result<(), String> {
        let mut transcript = match std::mem::replace(&mut self.phase, Phase::Preparing) {
            Phase::Clean => {
                self.phase = Phase::Clean;
                return Ok(());
            }
            Phase::Preparing => return Err("it was left while a turn was being prepared".to_owned()),
            Phase::Running(mut transcript) | Phase::Parked(mut transcript) => {
                self.wait_for(&mut transcript.translator, |turn| turn.is_running() || turn.is_over()).await?;
                self.session.queue_interrupt();
                transcript
            }
            Phase::Holding(transcript) | Phase::Spent(transcript) => transcript,
        };
        let Some(first) = transcript.first.take() else {
            return Err(format!("its conversation began with an answer ({})", transcript.last));
        };
        self.wait_for(&mut transcript.translator, Translator::is_over).await?;
        if self.session.rewind(&first, &transcript.last).await?.is_some() {
            return Err("the rewind left an earlier answer behind".to_owned());
        }
        self.session.tools.forget_calls();
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

/// The names of the tools that a process must know for `turn`.
fn names(turn: &Turn) -> Vec<String> {
    turn.tools.list.iter().map(|tool| tool.name.clone()).chain(answer_tool(turn)).collect()
}
