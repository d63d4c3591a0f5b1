//! Phases of a turn with their times, and the ways in which it ends.

use std::time::Duration;

/// Phase of a turn, in the usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnPhase {
    /// Permissions, files, hooks, routing, limits and the cache.
    Admission,
    /// Wait for the run of an equal turn.
    Shared,
    /// Hold of the estimated cost on disk.
    Hold,
    /// Wait for a worker.
    Queue,
    /// Hand-over to the worker.
    Lease,
    /// Wait for the first piece of the answer.
    FirstToken,
    /// Flow of the answer.
    Stream,
}

/// Outcome of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnOutcome {
    /// Complete answer.
    Answered,
    /// Refusal before the run.
    Refused,
    /// Failure of the run.
    Failed,
    /// Cancellation by the client or the operator.
    Cancelled,
}

/// Phases of a turn in the order in which they began, each of them once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhaseTimes([Option<BegunPhase>; TurnPhase::COUNT]);

/// Phase of a turn that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BegunPhase {
    /// Phase that has begun.
    pub phase: TurnPhase,
    /// Milliseconds from the beginning of the turn.
    pub at_ms: u32,
}

impl TurnPhase {
    /// Number of all phases.
    const COUNT: usize = 7;

    /// Returns the name of the phase in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Shared => "shared",
            Self::Hold => "hold",
            Self::Queue => "queue",
            Self::Lease => "lease",
            Self::FirstToken => "first_token",
            Self::Stream => "stream",
        }
    }
}

impl TurnOutcome {
    /// Returns the name of the outcome in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl PhaseTimes {
    /// Begins `phase`, `time` after the beginning of the turn. Returns false if it has begun before.
    pub(super) fn begin(&mut self, phase: TurnPhase, time: Duration) -> bool {
        if self.iter().any(|begun| begun.phase == phase) {
            return false;
        }
        let begun = BegunPhase {
            phase,
            at_ms: whole_milliseconds(time),
        };
        // There is a place for each phase.
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(begun);
        }
        true
    }

    /// Returns the phases in the order in which they began.
    pub fn iter(&self) -> impl Iterator<Item = BegunPhase> {
        self.0.iter().copied().flatten()
    }

    /// Returns the phase that has begun last; `None` before the first.
    pub fn current(&self) -> Option<TurnPhase> {
        self.iter().last().map(|begun| begun.phase)
    }
}

/// Returns the whole milliseconds of `time`, saturating.
pub(super) fn whole_milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_kept_once_each_in_the_order_of_their_beginning() {
        use TurnPhase as Phase;
        let mut times = PhaseTimes::default();
        assert_eq!(times.current(), None);
        let order = [
            Phase::Admission,
            Phase::Hold,
            Phase::Queue,
            Phase::Shared,
            Phase::Lease,
            Phase::FirstToken,
            Phase::Stream,
        ];
        for (milliseconds, phase) in (0..).zip(order) {
            assert!(times.begin(phase, Duration::from_millis(milliseconds)));
            assert!(!times.begin(phase, Duration::from_secs(1)));
            assert_eq!(times.current(), Some(phase));
        }
        let begun: Vec<_> = times.iter().map(|begun| begun.at_ms).collect();
        assert_eq!(begun, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(whole_milliseconds(Duration::MAX), u32::MAX);
    }
}
