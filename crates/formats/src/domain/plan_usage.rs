//! Use of a plan: how much of its windows is used, as Anthropic tells it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Window of a plan, within which its use is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlanWindowKind {
    /// Five hours.
    FiveHour,
    /// Seven days, all models together.
    SevenDay,
    /// Seven days of the larger models.
    SevenDayOpus,
    /// Seven days of the models of medium size.
    SevenDaySonnet,
    /// Seven days of the models whose use beyond the plan is included.
    SevenDayOverageIncluded,
    /// Use beyond the plan.
    Overage,
}

impl PlanWindowKind {
    /// All kinds of windows.
    pub const ALL: [Self; 6] = [
        Self::FiveHour,
        Self::SevenDay,
        Self::SevenDayOpus,
        Self::SevenDaySonnet,
        Self::SevenDayOverageIncluded,
        Self::Overage,
    ];

    /// Returns the name of the window, which is Anthropic's.
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveHour => "five_hour",
            Self::SevenDay => "seven_day",
            Self::SevenDayOpus => "seven_day_opus",
            Self::SevenDaySonnet => "seven_day_sonnet",
            Self::SevenDayOverageIncluded => "seven_day_overage_included",
            Self::Overage => "overage",
        }
    }

    /// Returns the window called `name`; `None` for an unknown one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Use of one window of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanWindow {
    /// Window that is meant.
    pub kind: PlanWindowKind,
    /// Used share of the window in percent; above 100 if more than its limit was used.
    pub used_percent: u32,
    /// End of the window in seconds of Unix time, when its use begins at zero again.
    pub resets_at: u64,
}

/// Use of the plan of one sign-in, as it was last reported; clones share it.
///
/// Read and written under a lock that is held for a few instructions.
#[derive(Debug, Clone, Default)]
pub struct PlanUsage(Arc<Mutex<PlanUsageState>>);

#[derive(Debug, Default)]
struct PlanUsageState {
    windows: BTreeMap<PlanWindowKind, PlanWindow>,
    refused_until: Option<u64>,
}

impl PlanUsage {
    /// Records a report: the windows that it has, and the time until which calls are refused, in
    /// seconds of Unix time, if they are.
    pub fn record(&self, windows: &[PlanWindow], refused_until: Option<u64>) {
        let mut state = self.state();
        for window in windows {
            state.windows.insert(window.kind, *window);
        }
        state.refused_until = refused_until;
    }

    /// Returns the windows that have not ended at `now`, in seconds of Unix time. What is used of a
    /// window after an end is not known before the next call.
    pub fn windows(&self, now: u64) -> Vec<PlanWindow> {
        let state = self.state();
        let windows = state.windows.values();
        windows
            .filter(|window| window.resets_at > now)
            .copied()
            .collect()
    }

    /// Returns the time until which calls are refused, if they are at `now`; both in seconds of Unix
    /// time.
    pub fn refused_until(&self, now: u64) -> Option<u64> {
        self.state().refused_until.filter(|until| *until > now)
    }

    fn state(&self) -> MutexGuard<'_, PlanUsageState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kind: PlanWindowKind, used_percent: u32, resets_at: u64) -> PlanWindow {
        PlanWindow {
            kind,
            used_percent,
            resets_at,
        }
    }

    #[test]
    fn plan_usage_keeps_the_last_report_of_each_window_until_its_end() {
        let usage = PlanUsage::default();
        let week = window(PlanWindowKind::SevenDay, 40, 900);
        usage.record(&[window(PlanWindowKind::FiveHour, 10, 500), week], None);
        let later = window(PlanWindowKind::FiveHour, 100, 500);
        usage.clone().record(&[later], Some(500));
        assert_eq!(usage.windows(499), [later, week]);
        assert_eq!(usage.refused_until(499), Some(500));
        assert_eq!(usage.windows(500), [week]);
        assert_eq!(usage.refused_until(500), None);
        usage.record(&[], None);
        assert_eq!(usage.refused_until(499), None);
    }

    #[test]
    fn plan_windows_have_anthropics_names() {
        for kind in PlanWindowKind::ALL {
            assert_eq!(PlanWindowKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(PlanWindowKind::from_name("year"), None);
    }
}
