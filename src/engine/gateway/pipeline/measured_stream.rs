//! Event stream of a turn that measures its pace and counts its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures::Stream;
use tokio::time::Instant;

use super::AdmissionDeps;
use super::turn_errors::ErrorDescriber;
use crate::domain::Surface;
use crate::domain::TurnEvent;
use crate::engine::gateway::CacheStatus;
use crate::engine::gateway::Error;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::TakenFallback;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnStream;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnError;
use crate::telemetry::activity::TurnOutcome;
use crate::telemetry::activity::TurnPhase;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::RequestExemplar;
use crate::telemetry::metrics::TokenPace;
use crate::telemetry::metrics::TurnEnd;
use crate::telemetry::metrics::TurnMetrics;
use crate::telemetry::traces::ChatSpan;

/// Error code of a turn whose events ended without an end of the answer.
const ENDED_EARLY: &str = "ended_early";

/// Measurement of one turn. Counts the end of the turn once: a measurement that is dropped before
/// is that of a cancelled turn.
pub(super) struct TurnMeasure {
    admission: Arc<AdmissionDeps>,
    /// Id of the model that is to answer, and then that by which upstream answers.
    model: String,
    /// API that the turn came by.
    surface: Surface,
    start: AnswerStart,
    asked_at: Instant,
    request: Option<RequestExemplar>,
    /// Set by the first piece of the answer.
    pace: Option<TokenPace>,
    /// Span of the turn, until its end; `None` while traces are off. Dropping it records an
    /// abandoned turn.
    span: Option<ChatSpan>,
    /// Shows the progress of the turn.
    tracked: TrackedTurn,
    describe: ErrorDescriber,
    /// Fallback that the turn takes.
    fallback: TakenFallback,
    is_counted: bool,
}

/// Events of a turn, measured as they pass.
pub(super) struct MeasuredStream {
    /// Source of events; `None` once the operator has cancelled the turn.
    events: Option<TurnStream>,
    measure: TurnMeasure,
}

impl TurnMeasure {
    /// Begins to measure a turn that came by `surface` and is recorded by `span` and `tracked`.
    /// `describe` describes the errors that may end it.
    pub(super) fn begin(
        admission: Arc<AdmissionDeps>,
        surface: Surface,
        span: Option<ChatSpan>,
        tracked: TrackedTurn,
        describe: ErrorDescriber,
    ) -> Self {
        Self {
            admission,
            model: String::new(),
            surface,
            start: AnswerStart::Warm,
            asked_at: Instant::now(),
            request: RequestExemplar::current(),
            pace: None,
            span,
            tracked,
            describe,
            fallback: TakenFallback::default(),
            is_counted: false,
        }
    }

    /// Ends the measurement of a turn that does not run because of `error`, and counts the refusal.
    pub(super) fn discard(mut self, error: &Error) {
        if *error == Error::CancelledByOperator {
            return self.cancel(error);
        }
        self.is_counted = true;
        let (refused_by, scope) = error.refusal_labels();
        self.metrics().count_refusal(refused_by, scope);
        let shown = self.turn_error(error);
        self.tracked.end(TurnOutcome::Refused, Some(shown), None);
        let Some(span) = self.span.take() else {
            return;
        };
        match error {
            Error::Failed(_) | Error::Ledger(_) | Error::Unavailable { .. } => {
                span.fail(refused_by);
            }
            _ => span.refuse(refused_by),
        }
    }

    /// Counts the failure of a turn that was accepted.
    fn fail(&mut self, error_code: &'static str, shown: TurnError) {
        self.count_end(TurnEnd::Failed);
        self.tracked.end(TurnOutcome::Failed, Some(shown), None);
        if let Some(span) = self.span.take() {
            span.fail(error_code);
        }
    }

    /// Counts a turn that the operator has cancelled.
    fn cancel(&mut self, error: &Error) {
        self.count_end(TurnEnd::Cancelled);
        let shown = self.turn_error(error);
        self.tracked.end(TurnOutcome::Cancelled, Some(shown), None);
        if let Some(span) = self.span.take() {
            span.refuse(error.refusal_labels().0);
        }
    }

    /// True if the operator has cancelled the turn before its end.
    fn is_cancelled(&self) -> bool {
        !self.is_counted && self.tracked.is_cancelled()
    }

    /// Polls for the cancellation by the operator, which is never ready after the end of the turn.
    fn poll_cancelled(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_counted {
            Poll::Pending
        } else {
            self.tracked.poll_cancelled(context)
        }
    }

    /// Returns `error` as it is shown: the code of the API, or else what has refused the turn.
    fn turn_error(&self, error: &Error) -> TurnError {
        let described = (self.describe)(error);
        let code = if described.code.is_empty() {
            error.refusal_labels().0.into()
        } else {
            described.code.into()
        };
        TurnError {
            code,
            status: Some(described.status),
        }
    }

    fn record(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started { model, usage, .. } => {
                // Only what answers gets a label of its own: clients may ask for any name.
                self.metrics().know_model(model);
                model.clone_into(&mut self.model);
                self.tracked.set_prompt(model, usage);
                if let Some(span) = &mut self.span {
                    span.set_model(model);
                }
            }
            TurnEvent::Text(piece) | TurnEvent::Thinking(piece) | TurnEvent::ToolInput(piece) => {
                self.record_piece();
                self.tracked.add_output(piece.len());
            }
            TurnEvent::Finished(finish) => {
                self.count_end(TurnEnd::Answered);
                if let Some(taken) = self.fallback.facts() {
                    let place = taken.place_word();
                    self.metrics().count_fallback(taken.cause.name(), place);
                }
                let usage = Some(&finish.usage);
                self.tracked.end(TurnOutcome::Answered, None, usage);
                if let Some(span) = self.span.take() {
                    span.finish(finish);
                }
            }
            _ => {}
        }
    }

    fn metrics(&self) -> &TurnMetrics {
        &self.admission.metrics
    }

    fn record_piece(&mut self) {
        match &mut self.pace {
            Some(pace) => pace.record_piece(),
            None => {
                let time = self.asked_at.elapsed();
                let metrics = &self.admission.metrics;
                let request = self.request.take();
                metrics.record_first_token(&self.model, self.start, time, request);
                self.pace = Some(metrics.token_pace(&self.model));
                self.tracked.begin_phase(TurnPhase::Stream);
                if let Some(span) = &mut self.span {
                    span.end_first_token();
                }
            }
        }
    }

    fn count_end(&mut self, end: TurnEnd) {
        if !std::mem::replace(&mut self.is_counted, true) {
            let surface = self.surface.name();
            self.metrics().count_turn(&self.model, end, surface);
        }
    }
}

impl Drop for TurnMeasure {
    // Cancellation: the client has left before the answer, or during it.
    fn drop(&mut self) {
        self.count_end(TurnEnd::Cancelled);
        self.tracked.end(TurnOutcome::Cancelled, None, None);
    }
}

impl MeasuredStream {
    /// Measures the events of `running` by `measure`.
    pub(super) fn wrap(running: RunningTurn, mut measure: TurnMeasure) -> RunningTurn {
        let RunningTurn {
            info,
            events,
            costs,
        } = running;
        info.model.clone_into(&mut measure.model);
        measure.start = answer_start(&info);
        measure.fallback = info.fallback.clone();
        if let Some(span) = &mut measure.span {
            span.accept(&info.model, info.cache.map(cache_word));
        }
        let is_routed = info.route.is_some();
        measure
            .tracked
            .set_start(&info.model, measure.start, is_routed);
        RunningTurn {
            info,
            events: Box::pin(Self {
                events: Some(events),
                measure,
            }),
            costs,
        }
    }

    /// Ends the turn as if its client had left, and returns the error for the client.
    fn cancel(&mut self) -> Error {
        self.events = None;
        let error = Error::CancelledByOperator;
        self.measure.cancel(&error);
        error
    }
}

impl Stream for MeasuredStream {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(events) = &mut this.events else {
            return Poll::Ready(None);
        };
        let polled = if this.measure.is_cancelled() {
            Poll::Pending
        } else {
            events.as_mut().poll_next(context)
        };
        let Poll::Ready(next) = polled else {
            ready!(this.measure.poll_cancelled(context));
            return Poll::Ready(Some(Err(this.cancel())));
        };
        match &next {
            Some(Ok(event)) => this.measure.record(event),
            Some(Err(error)) => {
                let shown = this.measure.turn_error(error);
                this.measure.fail(error.refusal_labels().0, shown);
            }
            None => this.measure.fail(ENDED_EARLY, TurnError::new(ENDED_EARLY)),
        }
        Poll::Ready(next)
    }
}

fn cache_word(status: CacheStatus) -> &'static str {
    match status {
        CacheStatus::Hit => "hit",
        CacheStatus::Miss => "miss",
        CacheStatus::Bypass => "bypass",
    }
}

fn answer_start(info: &TurnInfo) -> AnswerStart {
    match info.cache {
        Some(CacheStatus::Hit) => AnswerStart::Cached,
        _ if info.has_queued => AnswerStart::Queued,
        _ => AnswerStart::Warm,
    }
}
