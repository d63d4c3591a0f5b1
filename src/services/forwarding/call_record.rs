//! Record of a call in the metrics and in the activity that the dashboard shows.

use crate::domain::Caller;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnError;
use crate::telemetry::activity::TurnFacts;
use crate::telemetry::activity::TurnOutcome;
use crate::telemetry::activity::shorten_model_name;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::RequestExemplar;
use crate::telemetry::metrics::TurnEnd;
use crate::telemetry::metrics::TurnMetrics;

/// Record of one call. A record that is dropped before its end is that of a client that has left.
#[derive(Debug)]
pub(super) struct CallRecord {
    tracked: TrackedTurn,
    metrics: TurnMetrics,
    model: String,
    surface: &'static str,
    is_over: bool,
}

impl CallRecord {
    /// Begins the record of a call of `model` by `caller`.
    pub(super) fn begin(
        activity: &Activity,
        metrics: &TurnMetrics,
        caller: &Caller,
        model: &str,
    ) -> Self {
        let tracked = activity.begin_turn(TurnFacts {
            request_id: RequestExemplar::current_id(),
            surface: caller.origin.surface,
            key: caller.name.clone(),
            project: caller.project.clone(),
            requested_model: shorten_model_name(model).to_owned(),
            is_streamed: caller.origin.is_streamed,
            is_background: caller.in_background,
        });
        Self {
            tracked,
            metrics: metrics.clone(),
            model: model.to_owned(),
            surface: caller.origin.surface.name(),
            is_over: false,
        }
    }

    pub(super) fn tracked(&self) -> &TrackedTurn {
        &self.tracked
    }

    /// Records that the call goes to its server. Only names of the configuration get here, so that
    /// each may have a label of its own.
    pub(super) fn accept(&self) {
        self.metrics.know_model(&self.model);
        self.tracked
            .set_start(&self.model, AnswerStart::Warm, false);
        self.tracked.open_charge();
    }

    /// Ends the record of a call that was not made because of `error`.
    pub(super) fn refuse(mut self, error: &Error) {
        let (by, scope) = error.refusal_labels();
        let shown = Some(TurnError::new(by));
        if *error == Error::CancelledByOperator {
            self.end(TurnEnd::Cancelled, TurnOutcome::Cancelled, shown, None);
            return;
        }
        self.is_over = true;
        self.metrics.count_refusal(by, scope);
        self.tracked.end(TurnOutcome::Refused, shown, None);
    }

    /// Ends the record of a call that `error` has ended.
    pub(super) fn fail(&mut self, error: &Error) {
        let shown = Some(TurnError::new(error.refusal_labels().0));
        let (end, outcome) = if *error == Error::CancelledByOperator {
            (TurnEnd::Cancelled, TurnOutcome::Cancelled)
        } else {
            (TurnEnd::Failed, TurnOutcome::Failed)
        };
        self.end(end, outcome, shown, None);
    }

    /// Ends the record of a call that was answered.
    pub(super) fn finish(&mut self, usage: &Usage) {
        self.end(TurnEnd::Answered, TurnOutcome::Answered, None, Some(usage));
    }

    fn end(
        &mut self,
        end: TurnEnd,
        outcome: TurnOutcome,
        error: Option<TurnError>,
        usage: Option<&Usage>,
    ) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.metrics.count_turn(&self.model, end, self.surface);
            self.tracked.end(outcome, error, usage);
        }
    }
}

impl Drop for CallRecord {
    // Cancellation: the client has left.
    fn drop(&mut self) {
        self.end(TurnEnd::Cancelled, TurnOutcome::Cancelled, None, None);
    }
}
