//! Costs of turns, as the CLI reports them.

use crate::domain::CostMeter;
use crate::domain::Money;
use crate::domain::Usage;

use super::protocol::{CliEvent, StreamEvent};

/// Cost accounting of one process. The CLI reports the total cost of its process with each result,
/// so a turn costs the difference between two successive results.
#[derive(Debug, Default)]
pub(super) struct CostTracker {
    /// Total of the last result.
    total: Money,
    /// Recorder of the turn that runs, or that ran last and was not reported yet.
    current: Option<CostMeter>,
    /// Set if the next result covers an earlier turn as well, so that the cost of each is not
    /// known.
    is_shared: bool,
}

impl CostTracker {
    /// Starts the turn of `meter`.
    pub(super) fn start_turn(&mut self, meter: CostMeter) {
        self.is_shared |= self.current.replace(meter).is_some();
    }

    /// Processes a result with the process's `total`, and records the cost of the turn.
    pub(super) fn record_total(&mut self, total: Option<Money>) {
        let meter = self.current.take();
        let Some(total) = total else {
            // A missing total is included in the next one, so the next cost covers two turns.
            self.is_shared |= meter.is_some();
            return;
        };
        let cost = total - std::mem::replace(&mut self.total, total);
        let is_shared = std::mem::take(&mut self.is_shared);
        if let Some(meter) = meter.filter(|_| !is_shared && cost >= Money::ZERO) {
            meter.record_cost(cost);
        }
    }

    /// Updates the usage of the running turn by `event`, even if the turn's reader has gone.
    pub(super) fn observe(&self, event: &CliEvent<'_>) {
        let Some(meter) = &self.current else { return };
        match event {
            CliEvent::Call => meter.set_under_way(true),
            CliEvent::Stream(StreamEvent::MessageStart { usage, .. }) => {
                let mut prompt = Usage::default();
                usage.merge_into(&mut prompt);
                meter.set_under_way(true);
                meter.record_prompt_usage(prompt);
            }
            // Upstream does not charge a call that it refuses. The CLI does not report when a
            // retried call is made again, so a call that is being retried stays under way, but for one
            // that is retried too often: it waits, and is ended meanwhile.
            CliEvent::CallFailed(_) => meter.set_under_way(false),
            CliEvent::ApiRetry(retry) if retry.exceeds_limit => meter.set_under_way(false),
            _ => {}
        }
    }

    /// True if the cost of the last turn was reported.
    pub(super) fn is_reported(&self) -> bool {
        self.current.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::claude::protocol::{ApiRetry, CallFailed};

    fn begin(costs: &mut CostTracker) -> impl Fn() -> Option<i64> + use<> {
        let meter = CostMeter::default();
        costs.start_turn(meter.clone());
        move || meter.reader().runs()[0].cost.map(Money::nanos)
    }

    fn report(costs: &mut CostTracker, nanos: i64) {
        costs.record_total(Some(Money::from_nanos(nanos)));
    }

    #[test]
    fn cost_of_a_turn_is_the_difference_of_totals() {
        let mut costs = CostTracker::default();
        let first = begin(&mut costs);
        assert!(!costs.is_reported());
        report(&mut costs, 10);
        assert!(costs.is_reported());
        let second = begin(&mut costs);
        report(&mut costs, 25);
        assert_eq!((first(), second()), (Some(10), Some(15)));
    }

    #[test]
    fn cost_of_two_turns_in_one_result_is_assigned_to_neither() {
        let mut costs = CostTracker::default();
        let first = begin(&mut costs);
        let second = begin(&mut costs);
        report(&mut costs, 30);
        let next = begin(&mut costs);
        report(&mut costs, 31);
        assert_eq!((first(), second(), next()), (None, None, Some(1)));
    }

    #[test]
    fn cost_is_unknown_without_total_or_if_the_total_decreases() {
        let mut costs = CostTracker::default();
        let unreported = begin(&mut costs);
        costs.record_total(None);
        let shared = begin(&mut costs);
        report(&mut costs, 30);
        let less = begin(&mut costs);
        report(&mut costs, 20);
        let next = begin(&mut costs);
        report(&mut costs, 22);
        assert_eq!(
            (unreported(), shared(), less(), next()),
            (None, None, None, Some(2))
        );
    }

    #[test]
    fn call_is_under_way_until_the_cli_gives_it_up() {
        let mut costs = CostTracker::default();
        let meter = CostMeter::default();
        let is_under_way = || meter.reader().runs()[0].is_under_way;
        costs.observe(&CliEvent::Call);
        costs.start_turn(meter.clone());
        assert!(!is_under_way(), "it was another turn's");
        costs.observe(&CliEvent::Call);
        assert!(is_under_way());
        let failed = || CallFailed {
            kind: "overloaded".to_owned(),
            text: String::new(),
        };
        let retried = |exceeds_limit| ApiRetry {
            call: failed(),
            status: Some(529),
            delay: None,
            exceeds_limit,
        };
        costs.observe(&CliEvent::ApiRetry(retried(false)));
        assert!(is_under_way());
        costs.observe(&CliEvent::ApiRetry(retried(true)));
        assert!(!is_under_way());
        costs.observe(&CliEvent::Call);
        costs.observe(&CliEvent::CallFailed(failed()));
        assert!(!is_under_way());
    }

    #[test]
    fn cost_between_two_turns_is_assigned_to_neither() {
        let mut costs = CostTracker::default();
        report(&mut costs, 5);
        let turn = begin(&mut costs);
        report(&mut costs, 7);
        assert_eq!(turn(), Some(2));
    }
}
