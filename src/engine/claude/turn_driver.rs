//! Driver of turns: the order of protocol steps between a worker and its process.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Model;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::engine::worker::WorkerTurn;
use crate::runtime::compute::in_place;

use super::body;
use super::cli_settings::{self, ProcessSettings};
use super::protocol::CliEvent;
use super::reset_error::ResetError;
use super::session::CliSession;
use super::setup::CliSetup;
use super::sign_in::SignIn;
use super::translate::{TurnStep, TurnTranslator};

/// Timeout for the cost of a turn after its answer. Usually the cost comes after 2 to 8 ms; on an
/// overloaded machine it took more than 250 ms. A turn without a reported cost is charged by the
/// price table.
const COSTS_TIMEOUT: Duration = Duration::from_secs(2);

/// Size in bytes above which the body of a call is removed from the process as soon as its turn is
/// over.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// Phase of the process between and during turns.
#[derive(Debug)]
enum TurnPhase {
    /// Idle: the process is free of any turn.
    Clean,
    /// Settings are being sent; the transcript is unchanged.
    Configuring,
    /// The transcript is being changed. A worker abandoned in this phase cannot be reused: how much
    /// has arrived is unknown.
    Changing,
    /// The model is answering.
    Running(TurnTranslator),
    /// The answer is complete, has failed or was cut short. The CLI may still be busy with it.
    Ended(TurnTranslator),
}

/// Turn logic of a worker, separate from its process for testing.
///
/// No state of a turn is kept for the next one: each turn brings its whole conversation in the body
/// of its one call.
#[derive(Debug)]
pub(super) struct TurnDriver<R, W> {
    pub(super) session: CliSession<R, W>,
    pub(super) models: Vec<Model>,
    sign_in: SignIn,
    event_timeout: Duration,
    control_timeout: Duration,
    /// Settings in force in the process; `None` if unknown.
    settings: Option<ProcessSettings>,
    body_bytes: usize,
    phase: TurnPhase,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> TurnDriver<R, W> {
    pub(super) fn new(session: CliSession<R, W>, models: Vec<Model>, setup: &CliSetup) -> Self {
        Self {
            session,
            models,
            sign_in: setup.sign_in,
            settings: None,
            event_timeout: setup.config.event_timeout,
            control_timeout: setup.config.control_timeout,
            body_bytes: 0,
            phase: TurnPhase::Clean,
        }
    }

    pub(super) async fn start(&mut self, worker_turn: &WorkerTurn) -> Result<(), Failure> {
        self.prepare_turn().await?;
        self.configure(&worker_turn.turn).await?;
        // Cancelled up to here, the worker has the settings of the turn, and nothing of it in the
        // transcript.
        worker_turn.gate.wait_until_open().await;
        // No await from here on: a start is cancelled either before the prompt is queued, or in
        // `Running`.
        let uuid = Uuid::new_v4().to_string();
        self.session.queue_prompt(&uuid);
        self.session
            .costs
            .start_turn(worker_turn.cost_meter.clone());
        self.phase = TurnPhase::Running(TurnTranslator::new(uuid));
        Ok(())
    }

    async fn prepare_turn(&mut self) -> Result<(), Failure> {
        self.reset()
            .await
            .map_err(|error| Failure::new(FailureKind::Crashed, error.to_string()))?;
        self.phase = TurnPhase::Configuring;
        Ok(())
    }

    /// Sets the body of the next call and the other settings of the turn, and waits until they are
    /// in force. A prompt sent earlier would be answered with the body of the previous caller.
    async fn configure(&mut self, turn: &Turn) -> Result<(), Failure> {
        let unreadable = || {
            Failure::new(
                FailureKind::InvalidRequest,
                "A schema of the request is no JSON.",
            )
        };
        let body = in_place(turn.bytes(), || body::request_body(turn, self.sign_in))
            .ok_or_else(unreadable)?;
        let wanted = ProcessSettings::for_turn(turn, self.sign_in);
        self.body_bytes = body.len();
        // Cancellation: unknown (`None`) while waiting, because some or all of the changes may then
        // be in force.
        let before = self.settings.take();
        self.session
            .configure(wanted.changes_from(before.as_ref(), body))
            .await?;
        self.settings = Some(wanted);
        Ok(())
    }

    /// Counts the tokens of the prompt. The CLI can count its transcript but not a body, so the
    /// request is added to the transcript as one message.
    pub(super) async fn count_tokens(&mut self, worker_turn: &WorkerTurn) -> Result<u64, Failure> {
        self.prepare_turn().await?;
        self.configure(&worker_turn.turn).await?;
        let unreadable = |_| {
            Failure::new(
                FailureKind::InvalidRequest,
                "The request cannot be counted.",
            )
        };
        let turn = &worker_turn.turn;
        let content = || RawValue::from_string(body::content_to_count(turn));
        let blocks = in_place(turn.bytes(), content).map_err(unreadable)?;
        let uuid = Uuid::new_v4().to_string();
        self.phase = TurnPhase::Changing;
        self.session.add_to_transcript(&uuid, &blocks).await?;
        self.phase = TurnPhase::Ended(TurnTranslator::for_transcript_message(uuid));
        self.session.count_tokens().await
    }

    pub(super) async fn next_event(&mut self) -> Result<Option<TurnEvent>, Failure> {
        loop {
            match self.next_step().await? {
                TurnStep::Emit(event) => return Ok(Some(event)),
                TurnStep::Call => self.forbid_further_calls(),
                TurnStep::Finish(finish) => {
                    self.finish_turn().await;
                    return Ok(Some(TurnEvent::Finished(finish)));
                }
                TurnStep::Fail(failure) => {
                    self.interrupt_unless(TurnTranslator::is_over);
                    self.end_turn();
                    return Err(self.session.limit.add_reset_time(failure));
                }
                TurnStep::Nothing => return Ok(None),
            }
        }
    }

    /// Returns the next step of the running turn, [`TurnStep::Nothing`] if there is none.
    async fn next_step(&mut self) -> Result<TurnStep, Failure> {
        let TurnPhase::Running(translator) = &mut self.phase else {
            return Ok(TurnStep::Nothing);
        };
        if let Some(source) = translator.next_citation() {
            return Ok(TurnStep::Emit(source));
        }
        let step = self.session.read_until(|event| {
            let is_retry = matches!(event, CliEvent::ApiRetry(_));
            match translator.translate(event) {
                // A retry would give another answer, which cannot be joined to the part already
                // sent, and would be charged.
                TurnStep::Nothing if is_retry && translator.has_output() => {
                    Some(TurnStep::Fail(truncated_answer()))
                }
                TurnStep::Nothing => None,
                step => Some(step),
            }
        });
        tokio::time::timeout(self.event_timeout, step)
            .await
            .unwrap_or_else(|_| {
                let seconds = self.event_timeout.as_secs();
                let message = format!("Nothing came from the model for {seconds} seconds.");
                Err(Failure::new(FailureKind::TimedOut, message))
            })
    }

    /// Prevents a further call once the call of the turn is under way.
    fn forbid_further_calls(&mut self) {
        if let Some(settings) = self
            .settings
            .as_mut()
            .and_then(ProcessSettings::forbid_further_calls)
        {
            self.session.queue_settings(settings);
        }
    }

    async fn finish_turn(&mut self) {
        // The CLI would ask a model that said nothing to say something.
        self.interrupt_unless(|turn| !turn.is_silent());
        self.end_turn();
        self.wait_for_costs().await;
    }

    fn interrupt_unless(&mut self, condition: impl Fn(&TurnTranslator) -> bool) {
        if let TurnPhase::Running(translator) = &self.phase
            && !condition(translator)
        {
            self.session.queue_interrupt();
        }
    }

    /// Waits until the CLI reports the cost of the turn, usually some milliseconds after the end of
    /// the answer. After [`COSTS_TIMEOUT`] the turn ends without its cost.
    async fn wait_for_costs(&mut self) {
        let TurnPhase::Ended(translator) = &mut self.phase else {
            return;
        };
        if self.session.costs.is_reported() {
            return;
        }
        let costs = self.session.read_until(|event| {
            translator.follow_lifecycle(&event);
            matches!(event, CliEvent::Result(_)).then_some(())
        });
        match tokio::time::timeout(COSTS_TIMEOUT, costs).await {
            Ok(Ok(())) => {}
            // The following reset notices that the process has ended.
            Ok(Err(failure)) => tracing::debug!(error = %failure, "process ended after answer"),
            Err(_) => tracing::debug!("turn cost not reported in time"),
        }
    }

    fn end_turn(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, TurnPhase::Changing) {
            TurnPhase::Running(translator) => TurnPhase::Ended(translator),
            phase => phase,
        };
    }

    /// Waits until the last turn is over, and removes it from the transcript.
    ///
    /// # Errors
    /// Fails if the CLI cannot confirm that nothing of the turn is left.
    pub(super) async fn reset(&mut self) -> Result<(), ResetError> {
        // Cancelled at any await below, the phase stays `Changing`, and the worker is not reused.
        let mut translator = match std::mem::replace(&mut self.phase, TurnPhase::Changing) {
            // Settings are applied in order, so those of the next turn follow those still in
            // transit.
            TurnPhase::Clean | TurnPhase::Configuring => return self.remove_large_body().await,
            TurnPhase::Changing => return Err(ResetError::TranscriptChanging),
            TurnPhase::Running(mut translator) => {
                // Race: an interrupt that arrives before the run has begun has no effect on the
                // prompt.
                self.wait_until(&mut translator, |turn| turn.is_running() || turn.is_over())
                    .await?;
                self.session.queue_interrupt();
                translator
            }
            TurnPhase::Ended(translator) => translator,
        };
        self.wait_until(&mut translator, TurnTranslator::is_over)
            .await?;
        if self.session.rewind(translator.uuid()).await?.is_some() {
            return Err(ResetError::AnswerLeft);
        }
        self.remove_large_body().await
    }

    /// Removes the body of the last call if it is large, and marks the process clean.
    async fn remove_large_body(&mut self) -> Result<(), ResetError> {
        if std::mem::take(&mut self.body_bytes) > LARGE_BODY_BYTES {
            self.session
                .configure(cli_settings::no_body_settings())
                .await?;
        }
        self.phase = TurnPhase::Clean;
        Ok(())
    }

    /// Reads events until the turn has reached a state.
    async fn wait_until(
        &mut self,
        translator: &mut TurnTranslator,
        is_there: impl Fn(&TurnTranslator) -> bool,
    ) -> Result<(), ResetError> {
        if is_there(translator) {
            return Ok(());
        }
        let there = self.session.read_until(|event| {
            translator.follow_lifecycle(&event);
            is_there(translator).then_some(())
        });
        match tokio::time::timeout(self.control_timeout, there).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ResetError::TurnTimedOut),
        }
    }
}

fn truncated_answer() -> Failure {
    let message = "The connection to Anthropic was lost in the middle of the answer, and only a part of it has arrived.";
    Failure::new(FailureKind::Upstream, message)
}

#[cfg(test)]
#[path = "turn_driver_tests.rs"]
mod tests;
