//! Answer from the response cache: free for its caller, and counted as a saving.

use std::sync::Arc;

use super::AdmissionDeps;
use crate::accounts::ledger::ReusedAnswer;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::TurnEvent;

/// Meter of an answer from the response cache, which counts it at its end.
pub(super) struct ReusedAnswerMeter {
    admission: Arc<AdmissionDeps>,
    project: String,
    key: String,
    /// Resolved id of the model that made the answer; empty before the first event.
    model: String,
}

impl ReusedAnswerMeter {
    /// Creates the meter of an answer to `caller`.
    pub(super) fn new(admission: Arc<AdmissionDeps>, caller: &Caller) -> Self {
        Self {
            admission,
            project: caller.project.clone(),
            key: caller.name.clone(),
            model: String::new(),
        }
    }

    /// Sets the cost of the answer to zero, and counts what it would have cost.
    pub(super) fn record(&mut self, event: TurnEvent) -> TurnEvent {
        match event {
            TurnEvent::Started { ref model, .. } => {
                self.model.clone_from(model);
                event
            }
            TurnEvent::Finished(mut finish) => {
                self.count(&finish);
                finish.usage.cost = Some(Money::ZERO);
                TurnEvent::Finished(finish)
            }
            event => event,
        }
    }

    fn count(&self, finish: &Finish) {
        let AdmissionDeps { prices, ledger, .. } = &*self.admission;
        let usage = &finish.usage;
        let cost = usage.cost.or_else(|| prices.cost(&self.model, usage));
        let answer = ReusedAnswer {
            project: self.project.clone(),
            key: self.key.clone(),
            model: self.model.clone(),
            baseline: prices.compare_with_baseline(&self.model, usage, 1),
            cost: cost.unwrap_or_default(),
        };
        ledger.count_reused_answer(answer);
    }
}
