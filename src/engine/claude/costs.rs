//! The costs of turns, as the CLI reports them.

use crate::domain::Bill;
use crate::domain::Money;
use crate::domain::Usage;

use super::protocol::{Event, StreamEvent};

/// Computes the cost of each turn. The CLI tells with each result what its process has cost so far, so a turn costs the difference
/// between the result after it and the result before it.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// The total of the last result.
    total: Money,
    /// The bill of the turn that runs, or that ran last and was not reported yet.
    open: Option<Bill>,
    /// Whether the next result reports an earlier turn as well, so that the cost of each is not known.
    is_shared: bool,
}

impl Costs {
    /// Begins the turn of `bill`.
    pub(super) fn begin(&mut self, bill: Bill) {
        self.is_shared |= self.open.replace(bill).is_some();
    }

    /// Takes a result with the `total` so far, and notes the cost of the turn.
    pub(super) fn report(&mut self, total: Option<Money>) {
        let bill = self.open.take();
        let Some(total) = total else {
            // What it does not tell now, the next one tells with its own.
            self.is_shared |= bill.is_some();
            return;
        };
        let cost = total - std::mem::replace(&mut self.total, total);
        let is_shared = std::mem::take(&mut self.is_shared);
        if let Some(bill) = bill.filter(|_| !is_shared && cost >= Money::ZERO) {
            bill.note(cost);
        }
    }

    /// Updates the bill of the running turn by `event`, even after its reader has gone.
    pub(super) fn follow(&self, event: &Event<'_>) {
        let Some(bill) = &self.open else { return };
        match event {
            Event::Call => bill.mark_under_way(true),
            Event::Stream(StreamEvent::MessageStart { usage, .. }) => {
                let mut prompt = Usage::default();
                usage.count_into(&mut prompt);
                bill.mark_under_way(true);
                bill.count_prompt(prompt);
            }
            // Upstream bills nothing for a call that it refuses. Of one that is tried again the CLI does not say when it is made once
            // more, so it stays under way.
            Event::CallFailed(_) => bill.mark_under_way(false),
            _ => {}
        }
    }

    /// Whether the cost of the last turn was reported.
    pub(super) fn is_reported(&self) -> bool {
        self.open.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::claude::protocol::{ApiRetry, CallFailed};

    fn begin(costs: &mut Costs) -> impl Fn() -> Option<i64> + use<> {
        let bill = Bill::default();
        costs.begin(bill.clone());
        move || bill.reader().runs()[0].cost.map(Money::nanos)
    }

    fn report(costs: &mut Costs, nanos: i64) {
        costs.report(Some(Money::from_nanos(nanos)));
    }

    #[test]
    fn a_turn_costs_what_was_added() {
        let mut costs = Costs::default();
        let first = begin(&mut costs);
        assert!(!costs.is_reported());
        report(&mut costs, 10);
        assert!(costs.is_reported());
        let second = begin(&mut costs);
        report(&mut costs, 25);
        assert_eq!((first(), second()), (Some(10), Some(15)));
    }

    #[test]
    fn what_two_turns_cost_together_is_nobodys() {
        let mut costs = Costs::default();
        let (first, second) = (begin(&mut costs), begin(&mut costs));
        report(&mut costs, 30);
        let next = begin(&mut costs);
        report(&mut costs, 31);
        assert_eq!((first(), second(), next()), (None, None, Some(1)));
    }

    #[test]
    fn a_result_without_a_total_or_with_less_tells_nothing() {
        let mut costs = Costs::default();
        let untold = begin(&mut costs);
        costs.report(None);
        let shared = begin(&mut costs);
        report(&mut costs, 30);
        let less = begin(&mut costs);
        report(&mut costs, 20);
        let next = begin(&mut costs);
        report(&mut costs, 22);
        assert_eq!(
            (untold(), shared(), less(), next()),
            (None, None, None, Some(2))
        );
    }

    #[test]
    fn a_call_is_under_way_until_the_cli_gives_it_up() {
        let mut costs = Costs::default();
        let bill = Bill::default();
        let is_under_way = || bill.reader().runs()[0].is_under_way;
        costs.follow(&Event::Call);
        costs.begin(bill.clone());
        assert!(!is_under_way(), "it was another turn's");
        costs.follow(&Event::Call);
        assert!(is_under_way());
        let failed = || CallFailed {
            kind: "overloaded".to_owned(),
            text: String::new(),
        };
        costs.follow(&Event::ApiRetry(ApiRetry {
            call: failed(),
            status: Some(529),
            delay: None,
        }));
        assert!(is_under_way());
        costs.follow(&Event::CallFailed(failed()));
        assert!(!is_under_way());
    }

    #[test]
    fn what_comes_between_two_turns_is_of_neither() {
        let mut costs = Costs::default();
        report(&mut costs, 5);
        let turn = begin(&mut costs);
        report(&mut costs, 7);
        assert_eq!(turn(), Some(2));
    }
}
