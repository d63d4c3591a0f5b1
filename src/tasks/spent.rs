//! What a session has cost before a task.

use super::task::Task;
use crate::domain::Money;

/// What a session has cost before a task, by the CLI, which counts all its runs together; none where its last run was cut off
/// before it could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent(Option<Money>);

impl Spent {
    /// That of a session that begins.
    pub(super) const NOTHING: Self = Self(Some(Money::ZERO));

    /// That of the session in which these tasks have worked.
    pub(super) fn of(earlier: &[Task]) -> Self {
        // A task that has not called the model has added nothing.
        let last = earlier.iter().filter(|task| task.turns > 0).max_by_key(|task| task.started_at);
        last.map_or(Self::NOTHING, |task| Self(task.session_cost_nanos.map(Money::from_nanos)))
    }

    /// What the run cost after which the session has cost `total`.
    pub(super) fn since(self, total: Money) -> Option<Money> {
        self.0.map(|before| (total - before).max(Money::ZERO))
    }
}
