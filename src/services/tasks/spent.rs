//! What a session has cost before a task.

use crate::domain::Money;

/// What a session has cost before a task, by the CLI, which counts all its runs together; none where its last run was cut off
/// before it could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent(pub(super) Option<Money>);

impl Spent {
    /// That of a session that begins.
    pub(super) const NOTHING: Self = Self(Some(Money::ZERO));

    /// What the run cost after which the session has cost `total`; none where that cannot be said.
    pub(super) fn since(self, total: Money) -> Option<Money> {
        self.0
            .and_then(|before| (before <= total).then(|| total - before))
    }
}
