//! Usage limit of a subscription, and the time of its reset.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::PlanUsage;

use super::failure::RATE_LIMIT_RETRY_DELAY;
use super::protocol::LimitReport;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Maximum plausible duration of a limit. Some limits last a month; a longer time is not believed.
const MAX_LIMIT_DURATION: Duration = Duration::from_secs(32 * DAY_SECONDS);

/// Last report of a process about its limit. The process reports changes only, so the report is
/// kept across turns.
#[derive(Debug, Default)]
pub(super) struct SubscriptionLimit {
    reached: Option<LimitReport>,
    /// Use of the sign-in's plan, which all its processes report to.
    plan: PlanUsage,
}

impl SubscriptionLimit {
    /// Creates the limit of a process that reports to `plan`.
    pub(super) fn reporting_to(plan: PlanUsage) -> Self {
        Self {
            reached: None,
            plan,
        }
    }

    /// Stores a report of the process.
    pub(super) fn record(&mut self, report: LimitReport) {
        let refused_until = report.resets_at.filter(|_| report.is_reached);
        self.plan.record(&report.windows, refused_until);
        self.reached = Some(report).filter(|report| report.is_reached);
    }

    /// Adds the reset time to a rate limit failure, if it is known.
    pub(super) fn add_reset_time(&self, failure: Failure) -> Failure {
        self.add_reset_time_at(failure, SystemTime::now())
    }

    fn add_reset_time_at(&self, failure: Failure, now: SystemTime) -> Failure {
        let resets_at = self.reached.as_ref().and_then(|report| report.resets_at);
        match resets_at.and_then(|seconds| Some((seconds, time_until(seconds, now)?))) {
            Some((seconds, wait)) if is_by_limit(&failure) => Failure {
                message: format!(
                    "Anthropic's limit for the sign-in of this server is reached until {}. Try again then.",
                    time_of_day(seconds, wait)
                ),
                retry_after: Some(wait),
                ..failure
            },
            _ => failure,
        }
    }
}

/// Returns true if the limit of a subscription can be the cause of `failure`. The CLI then asks to
/// wait until the reset; a short wait means a limit per minute.
fn is_by_limit(failure: &Failure) -> bool {
    failure.kind == FailureKind::RateLimited
        && failure
            .retry_after
            .is_none_or(|wait| wait > RATE_LIMIT_RETRY_DELAY)
}

/// Returns the time from `now` until the Unix time `seconds`. `None` for a time that is past or too
/// far ahead.
fn time_until(seconds: u64, now: SystemTime) -> Option<Duration> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    time.duration_since(now)
        .ok()
        .filter(|wait| !wait.is_zero() && *wait <= MAX_LIMIT_DURATION)
}

/// Formats a time as `16:05 UTC`, rounded up to a minute, with the number of days if it is more
/// than one ahead.
fn time_of_day(seconds: u64, wait: Duration) -> String {
    let minutes = seconds.div_ceil(60) % (24 * 60);
    let time = format!("{:02}:{:02} UTC", minutes / 60, minutes % 60);
    match wait.as_secs() / DAY_SECONDS {
        0 => time,
        1 => format!("{time}, in more than a day"),
        days => format!("{time}, in more than {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PlanWindow;
    use crate::domain::PlanWindowKind;

    /// 2026-11-21 09:08:25 UTC.
    const NOW: u64 = 1_795_252_105;

    fn explained(report: LimitReport, kind: FailureKind) -> (String, Option<u64>) {
        let mut limit = SubscriptionLimit::default();
        limit.record(report);
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let failure = limit.add_reset_time_at(Failure::new(kind, "It failed."), now);
        (
            failure.message,
            failure.retry_after.map(|wait| wait.as_secs()),
        )
    }

    fn reached(resets_at: Option<u64>) -> (String, Option<u64>) {
        explained(
            LimitReport {
                is_reached: true,
                resets_at,
                windows: Vec::new(),
            },
            FailureKind::RateLimited,
        )
    }

    #[test]
    fn limit_failure_states_the_reset_time() {
        for (wait, until) in [
            (600, "09:19 UTC"),
            (5 * 3600, "14:09 UTC"),
            (DAY_SECONDS, "09:09 UTC, in more than a day"),
            (6 * DAY_SECONDS + 60, "09:10 UTC, in more than 6 days"),
        ] {
            let message = format!(
                "Anthropic's limit for the sign-in of this server is reached until {until}. Try again then."
            );
            assert_eq!(reached(Some(NOW + wait)), (message, Some(wait)));
        }
    }

    #[test]
    fn limit_without_plausible_reset_time_leaves_the_failure_unchanged() {
        let plain = ("It failed.".to_owned(), None);
        for resets_at in [
            None,
            Some(0),
            Some(NOW),
            Some(NOW + 33 * DAY_SECONDS),
            Some(NOW * 1000),
            Some(u64::MAX),
        ] {
            assert_eq!(reached(resets_at), plain, "{resets_at:?}");
        }
        let soon = Some(NOW + 600);
        let warning = LimitReport {
            is_reached: false,
            resets_at: soon,
            windows: Vec::new(),
        };
        assert_eq!(explained(warning, FailureKind::RateLimited), plain);
        let reached = LimitReport {
            is_reached: true,
            resets_at: soon,
            windows: Vec::new(),
        };
        assert_eq!(explained(reached, FailureKind::Overloaded), plain);
    }

    #[test]
    fn lifted_limit_is_forgotten() {
        let mut limit = SubscriptionLimit::default();
        limit.record(LimitReport {
            is_reached: true,
            resets_at: Some(NOW + 600),
            windows: Vec::new(),
        });
        limit.record(LimitReport {
            is_reached: false,
            resets_at: Some(NOW + 600),
            windows: Vec::new(),
        });
        let failure = Failure::new(FailureKind::RateLimited, "It failed.");
        assert_eq!(
            limit.add_reset_time_at(failure.clone(), UNIX_EPOCH + Duration::from_secs(NOW)),
            failure
        );
    }

    #[test]
    fn limit_report_reaches_the_plan_of_the_sign_in() {
        let plan = PlanUsage::default();
        let mut limit = SubscriptionLimit::reporting_to(plan.clone());
        let window = PlanWindow {
            kind: PlanWindowKind::FiveHour,
            used_percent: 100,
            resets_at: NOW + 600,
        };
        let mut report = LimitReport {
            is_reached: true,
            resets_at: Some(NOW + 600),
            windows: vec![window],
        };
        limit.record(report.clone());
        assert_eq!(plan.windows(NOW), [window]);
        assert_eq!(plan.refused_until(NOW), Some(NOW + 600));
        report.is_reached = false;
        limit.record(report);
        assert_eq!(plan.refused_until(NOW), None);
    }
}
