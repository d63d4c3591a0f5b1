//! Event stream of a turn that measures its pace and counts its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures::Stream;
use tokio::time::Instant;

use super::AdmissionDeps;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::CacheStatus;
use crate::engine::gateway::Error;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnStream;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::RunEnd;
use crate::telemetry::metrics::Saving;
use crate::telemetry::metrics::TurnMetrics;

/// Events of a turn, measured as they pass.
pub(super) struct MeasuredStream {
    events: TurnStream,
    admission: Arc<AdmissionDeps>,
    model: String,
    is_routed: bool,
    start: AnswerStart,
    /// Time of the admission, and then of the last piece of the answer.
    last: Instant,
    has_begun: bool,
    is_counted: bool,
}

impl MeasuredStream {
    /// Measures `running`, which was asked for at `asked_at`.
    pub(super) fn wrap(
        running: RunningTurn,
        admission: Arc<AdmissionDeps>,
        asked_at: Instant,
    ) -> RunningTurn {
        let RunningTurn { info, events, bill } = running;
        let measured = Self {
            events,
            admission,
            model: info.model.clone(),
            is_routed: info.route.is_some() && info.cache != Some(CacheStatus::Hit),
            start: answer_start(&info),
            last: asked_at,
            has_begun: false,
            is_counted: false,
        };
        RunningTurn {
            info,
            events: Box::pin(measured),
            bill,
        }
    }

    fn record(&mut self, event: &TurnEvent) {
        match event {
            // The resolved id, which an answer from the cache names only here.
            TurnEvent::Started { model, .. } => model.clone_into(&mut self.model),
            TurnEvent::Text(_) | TurnEvent::Thinking(_) | TurnEvent::ToolInput(_) => {
                self.record_piece();
            }
            TurnEvent::Finished(finish) => {
                self.count_routing_saving(&finish.usage);
                self.count_end(RunEnd::Answered);
            }
            _ => {}
        }
    }

    /// Counts what the chosen model saves against the heaviest one that routing may choose.
    fn count_routing_saving(&self, usage: &Usage) {
        if !self.is_routed {
            return;
        }
        let AdmissionDeps { prices, router, .. } = &*self.admission;
        let price = |model: &str| prices.cost(model, usage).unwrap_or_default().dollars();
        let saved = price(router.heavy_model().as_str()) - price(&self.model);
        self.metrics().add_saving(Saving::Routing, saved);
    }

    fn metrics(&self) -> &TurnMetrics {
        &self.admission.metrics
    }

    fn record_piece(&mut self) {
        let now = Instant::now();
        let time = now.duration_since(self.last);
        if self.has_begun {
            self.metrics().record_token_gap(&self.model, time);
        } else {
            self.metrics()
                .record_first_token(&self.model, self.start, time);
        }
        (self.last, self.has_begun) = (now, true);
    }

    fn count_end(&mut self, end: RunEnd) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.metrics().count_run(&self.model, end);
        }
    }
}

impl Stream for MeasuredStream {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.events.as_mut().poll_next(context));
        match &next {
            Some(Ok(event)) => self.record(event),
            Some(Err(_)) | None => self.count_end(RunEnd::Failed),
        }
        Poll::Ready(next)
    }
}

impl Drop for MeasuredStream {
    // Cancellation: a stream that is dropped before its end is a cancelled turn.
    fn drop(&mut self) {
        self.count_end(RunEnd::Cancelled);
    }
}

fn answer_start(info: &TurnInfo) -> AnswerStart {
    match info.cache {
        Some(CacheStatus::Hit) => AnswerStart::Cached,
        _ if info.has_queued => AnswerStart::Queued,
        _ => AnswerStart::Warm,
    }
}
