//! Cost of a session before a task.

use crate::domain::Money;

/// Total cost of a session before a task. The CLI reports only the total of all runs of a session.
/// `None` if the last run was cut off before its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PriorSessionCost(pub(super) Option<Money>);

impl PriorSessionCost {
    /// Cost of a new session.
    pub(super) const ZERO: Self = Self(Some(Money::ZERO));

    /// Returns the cost of a run after which the session costs `total`; `None` if it cannot be
    /// known.
    pub(super) fn cost_of_run(self, total: Money) -> Option<Money> {
        self.0
            .and_then(|before| (before <= total).then(|| total - before))
    }
}
