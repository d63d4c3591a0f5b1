//! Figures of one step of time: sums of counts, means of levels, percentiles.

use crate::telemetry::metrics::MetricTotals;
use crate::telemetry::metrics::TotalCounts;

/// Shares of the percentiles that are kept: the median, 95 and 99 percent.
const SHARES: [f64; 3] = [0.5, 0.95, 0.99];

/// Kind of a level, which is read once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelKind {
    /// Workers that are being started.
    WorkersStarting,
    /// Workers ready for a request.
    WorkersIdle,
    /// Workers lent to a request.
    WorkersBusy,
    /// Workers being reset after a request.
    WorkersResetting,
    /// Requests that wait for a worker.
    Waiting,
    /// Turns between their acceptance and their end.
    Running,
}

/// Levels at one moment, by their kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelSample(pub [u64; LevelKind::COUNT]);

/// Sums of the levels that were read in a step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelSums {
    /// Sum of all samples for each kind of level.
    pub sums: [u64; LevelKind::COUNT],
    /// Maximum number of requests that waited for a worker.
    pub max_waiting: u64,
    /// Number of the summed samples.
    pub samples: u64,
}

/// Figures of a step of time that still goes on, from which its point is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepFigures {
    /// Start of the step, in seconds of Unix time.
    pub start: u64,
    /// Growth of the totals in the step.
    pub growth: MetricTotals,
    /// Levels that were read in the step.
    pub levels: LevelSums,
}

/// Figures of a step of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FigurePoint {
    /// Start of the step, in seconds of Unix time.
    pub start: u64,
    /// Numbers of what happened in the step.
    pub counts: TotalCounts,
    /// Number of first tokens in the step.
    pub first_tokens: u64,
    /// Milliseconds until the first token: the median, 95 and 99 percent; `None` without any.
    pub first_token_ms: Option<[f32; 3]>,
    /// Levels that were read in the step.
    pub levels: LevelSums,
}

impl LevelKind {
    /// Number of all kinds of levels.
    pub const COUNT: usize = 6;

    /// List of all kinds, in the order of the enum.
    pub const ALL: [Self; Self::COUNT] = [
        Self::WorkersStarting,
        Self::WorkersIdle,
        Self::WorkersBusy,
        Self::WorkersResetting,
        Self::Waiting,
        Self::Running,
    ];

    /// Returns the name of the kind, in records and in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkersStarting => "workers_starting",
            Self::WorkersIdle => "workers_idle",
            Self::WorkersBusy => "workers_busy",
            Self::WorkersResetting => "workers_resetting",
            Self::Waiting => "waiting",
            Self::Running => "running",
        }
    }

    /// Returns the kind called `name`; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl LevelSums {
    /// Adds one sample of each level.
    pub fn add(&mut self, sample: &LevelSample) {
        for (sum, level) in self.sums.iter_mut().zip(sample.0) {
            *sum = sum.saturating_add(level);
        }
        let waiting = sample.0[LevelKind::Waiting as usize];
        self.max_waiting = self.max_waiting.max(waiting);
        self.samples += 1;
    }

    /// Returns the mean of a level; 0 without a sample.
    pub fn mean(&self, kind: LevelKind) -> f64 {
        self.sums[kind as usize] as f64 / self.samples.max(1) as f64
    }
}

impl StepFigures {
    /// Returns the point of what is known of the step.
    pub fn point(&self) -> FigurePoint {
        let first_tokens = &self.growth.first_tokens;
        let percentile = |share: f64| first_tokens.percentile(share).unwrap_or_default() as f32;
        let count = first_tokens.count();
        FigurePoint {
            start: self.start,
            counts: self.growth.counts,
            first_tokens: count,
            first_token_ms: (count > 0).then(|| SHARES.map(percentile)),
            levels: self.levels,
        }
    }

    pub(super) fn add(&mut self, growth: &MetricTotals, levels: &LevelSample) {
        self.growth.merge(growth);
        self.levels.add(levels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_level_kinds_is_whole_and_names_are_unique() {
        for (index, kind) in LevelKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(LevelKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn levels_of_a_step_are_means_and_the_longest_queue_is_kept() {
        let mut sums = LevelSums::default();
        assert_eq!(sums.mean(LevelKind::Waiting).to_bits(), 0);
        for waiting in [1, 4, 1] {
            sums.add(&LevelSample([0, 2, 0, 0, waiting, 0]));
        }
        assert_eq!((sums.max_waiting, sums.samples), (4, 3));
        assert!((sums.mean(LevelKind::Waiting) - 2.0).abs() < 1e-9);
        assert!((sums.mean(LevelKind::WorkersIdle) - 2.0).abs() < 1e-9);
    }
}
