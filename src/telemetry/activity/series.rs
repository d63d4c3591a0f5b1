//! Figures over time: ten minutes by seconds, a day by minutes, ninety days by hours.
//!
//! The memory is allocated once, and a step of time has one place in it.

use super::figures::FigurePoint;
use super::figures::LevelSample;
use super::figures::StepFigures;
use crate::telemetry::metrics::MetricTotals;

/// Maximum number of seconds that the clock may be set back without a new beginning: the figures
/// count for the newest step meanwhile.
const MAX_CLOCK_SETBACK: u64 = 60;

/// Span of the figures over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureSpan {
    /// The last ten minutes, by seconds.
    TenMinutes,
    /// The last day, by minutes.
    Day,
    /// The last ninety days, by hours.
    NinetyDays,
}

/// Totals and levels at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct FigureSample {
    /// Totals since the server was started.
    pub totals: MetricTotals,
    /// Levels at this moment.
    pub levels: LevelSample,
}

/// Steps of one length, of which the last ones are kept.
pub(super) struct StepRing {
    step_seconds: u64,
    /// Place of each step: its number modulo the number of places.
    places: Box<[Option<FigurePoint>]>,
    /// Newest step, which still goes on.
    open: StepFigures,
}

/// Figures of all spans.
pub(super) struct FigureSeries {
    seconds: StepRing,
    minutes: StepRing,
    hours: StepRing,
    /// Totals of the sample before.
    totals: MetricTotals,
    /// Hour that has ended since it was last taken.
    ended_hour: Option<StepFigures>,
}

impl FigureSpan {
    /// List of all spans, from the shortest on.
    pub const ALL: [Self; 3] = [Self::TenMinutes, Self::Day, Self::NinetyDays];

    /// Returns the name of the span in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::TenMinutes => "10m",
            Self::Day => "24h",
            Self::NinetyDays => "90d",
        }
    }

    /// Returns the span called `name`; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.name() == name)
    }

    /// Returns the length of a step in seconds.
    pub fn step_seconds(self) -> u64 {
        match self {
            Self::TenMinutes => 1,
            Self::Day => 60,
            Self::NinetyDays => 3600,
        }
    }

    /// Returns the maximum number of steps.
    pub fn steps(self) -> usize {
        match self {
            Self::TenMinutes => 600,
            Self::Day => 24 * 60,
            Self::NinetyDays => 90 * 24,
        }
    }
}

impl Default for FigureSeries {
    fn default() -> Self {
        Self {
            seconds: StepRing::new(FigureSpan::TenMinutes),
            minutes: StepRing::new(FigureSpan::Day),
            hours: StepRing::new(FigureSpan::NinetyDays),
            totals: MetricTotals::default(),
            ended_hour: None,
        }
    }
}

impl FigureSeries {
    /// Adds what has changed since the sample before to the steps of `now`, in seconds of Unix time.
    /// Returns the point of the second.
    pub(super) fn add_second(&mut self, now: u64, sample: &FigureSample) -> FigurePoint {
        let newest = self.seconds.open.start;
        let is_set_back = now < newest && newest - now <= MAX_CLOCK_SETBACK;
        let now = if is_set_back { newest } else { now };
        let growth = sample.totals.since(&self.totals);
        self.totals = sample.totals;
        self.seconds.add(now, &growth, &sample.levels);
        self.minutes.add(now, &growth, &sample.levels);
        let ended = self.hours.add(now, &growth, &sample.levels);
        self.ended_hour = ended.or(self.ended_hour);
        self.seconds.open.point()
    }

    /// Fills in an hour of an earlier run of the server. Hours must come in their order.
    pub(super) fn restore_hour(&mut self, hour: StepFigures) {
        self.hours.restore(hour);
    }

    /// Takes the hour that has ended since the last call, and the one that goes on.
    pub(super) fn take_hours(&mut self) -> Vec<StepFigures> {
        let open = Some(self.hours.open).filter(|hour| hour.start > 0);
        self.ended_hour.take().into_iter().chain(open).collect()
    }

    /// Returns the starts of the steps of `span` with their points, oldest first and without gaps;
    /// `None` for a step without figures.
    pub(super) fn points(&self, span: FigureSpan) -> Vec<(u64, Option<FigurePoint>)> {
        match span {
            FigureSpan::TenMinutes => self.seconds.points(),
            FigureSpan::Day => self.minutes.points(),
            FigureSpan::NinetyDays => self.hours.points(),
        }
    }

    /// Number of points that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let rings = [&self.seconds, &self.minutes, &self.hours];
        rings.iter().map(|ring| ring.places.len()).sum()
    }
}

impl StepRing {
    fn new(span: FigureSpan) -> Self {
        Self {
            step_seconds: span.step_seconds(),
            places: vec![None; span.steps()].into_boxed_slice(),
            open: StepFigures::default(),
        }
    }

    /// Adds figures to the step of the second `now`. Returns the step that this one has ended.
    fn add(
        &mut self,
        now: u64,
        growth: &MetricTotals,
        levels: &LevelSample,
    ) -> Option<StepFigures> {
        let start = now - now % self.step_seconds;
        let newest = self.open.start;
        // The clock was set back: the figures of the step before are whole, and not begun anew.
        let is_before = start < newest && newest - start <= self.step_seconds;
        let start = if is_before { newest } else { start };
        let mut ended = None;
        if start != self.open.start {
            ended = Some(self.open).filter(|step| step.start > 0);
            self.open = StepFigures {
                start,
                ..StepFigures::default()
            };
        }
        self.open.add(growth, levels);
        self.put(self.open.point());
        ended
    }

    /// Fills in a step of an earlier run of the server; the newest one goes on.
    fn restore(&mut self, step: StepFigures) {
        self.put(step.point());
        if step.start > self.open.start {
            self.open = step;
        }
    }

    fn put(&mut self, point: FigurePoint) {
        let place = self.place(point.start);
        self.places[place] = Some(point);
    }

    fn place(&self, start: u64) -> usize {
        (start / self.step_seconds) as usize % self.places.len()
    }

    fn points(&self) -> Vec<(u64, Option<FigurePoint>)> {
        let newest = self.open.start;
        let steps_before = (self.places.len() as u64 - 1).min(newest / self.step_seconds);
        let starts = (0..=steps_before).rev();
        let starts = starts.map(|before| newest - before * self.step_seconds);
        let points = starts.map(|start| {
            let point = self.places[self.place(start)];
            (start, point.filter(|point| point.start == start))
        });
        points.skip_while(|(_, point)| point.is_none()).collect()
    }
}
