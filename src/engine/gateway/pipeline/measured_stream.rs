//! Event stream of a turn that measures its pace and counts its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures::Stream;
use tokio::time::Instant;

use super::AdmissionDeps;
use crate::domain::Surface;
use crate::domain::TurnEvent;
use crate::engine::gateway::CacheStatus;
use crate::engine::gateway::Error;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnStream;
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
    is_counted: bool,
}

/// Events of a turn, measured as they pass.
pub(super) struct MeasuredStream {
    events: TurnStream,
    measure: TurnMeasure,
}

impl TurnMeasure {
    /// Begins to measure a turn that came by `surface` and is recorded by `span`.
    pub(super) fn begin(
        admission: Arc<AdmissionDeps>,
        surface: Surface,
        span: Option<ChatSpan>,
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
            is_counted: false,
        }
    }

    /// Ends the measurement of a turn that is refused with `error`.
    pub(super) fn discard(mut self, error: &Error) {
        self.is_counted = true;
        let Some(span) = self.span.take() else {
            return;
        };
        let (refused_by, _) = error.refusal_labels();
        match error {
            Error::Failed(_) | Error::Ledger(_) | Error::Unavailable { .. } => {
                span.fail(refused_by);
            }
            _ => span.refuse(refused_by),
        }
    }

    /// Counts the failure of a turn that was accepted.
    fn fail(&mut self, error_code: &'static str) {
        self.count_end(TurnEnd::Failed);
        if let Some(span) = self.span.take() {
            span.fail(error_code);
        }
    }

    fn record(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started { model, .. } => {
                // Only what answers gets a label of its own: clients may ask for any name.
                self.metrics().know_model(model);
                model.clone_into(&mut self.model);
                if let Some(span) = &mut self.span {
                    span.set_model(model);
                }
            }
            TurnEvent::Text(_) | TurnEvent::Thinking(_) | TurnEvent::ToolInput(_) => {
                self.record_piece();
            }
            TurnEvent::Finished(finish) => {
                self.count_end(TurnEnd::Answered);
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
        if let Some(span) = &mut measure.span {
            span.accept(&info.model, info.cache.map(cache_word));
        }
        RunningTurn {
            info,
            events: Box::pin(Self { events, measure }),
            costs,
        }
    }
}

impl Stream for MeasuredStream {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.events.as_mut().poll_next(context));
        match &next {
            Some(Ok(event)) => self.measure.record(event),
            Some(Err(error)) => self.measure.fail(error.refusal_labels().0),
            None => self.measure.fail(ENDED_EARLY),
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
