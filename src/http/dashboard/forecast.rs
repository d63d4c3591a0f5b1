//! Forecast of a budget: when it is used up at the present rate.

use serde_json::Value;
use serde_json::json;

use super::sums::clamped;

/// Shortest time that a rate is computed from, in seconds: a single request says little.
const MIN_ELAPSED_SECONDS: u64 = 3600;
const SECONDS_AN_HOUR: u128 = 3600;

/// Window of a budget, in seconds of Unix time.
#[derive(Debug, Clone, Copy)]
pub(super) struct BudgetTimes {
    pub(super) starts_at: u64,
    pub(super) now: u64,
    pub(super) resets_at: u64,
}

/// Linear forecast from what was used since the start of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BudgetForecast {
    /// Units used in an hour.
    pub(super) rate_per_hour: u128,
    /// Time at which the cap is reached; `None` if the window ends before.
    pub(super) spent_by: Option<u64>,
    /// Units used at the end of the window.
    pub(super) at_reset: u128,
}

impl BudgetForecast {
    /// Computes the forecast for `used` units of `cap`.
    pub(super) fn new(used: u128, cap: u128, times: BudgetTimes) -> Self {
        let BudgetTimes {
            starts_at,
            now,
            resets_at,
        } = times;
        let elapsed = now.saturating_sub(starts_at).max(MIN_ELAPSED_SECONDS);
        let elapsed = u128::from(elapsed);
        let left = u128::from(resets_at.saturating_sub(now));
        let per = |seconds: u128| used.saturating_mul(seconds) / elapsed;
        Self {
            rate_per_hour: per(SECONDS_AN_HOUR),
            spent_by: spent_by(used, cap, elapsed, now).filter(|at| *at < resets_at),
            at_reset: used.saturating_add(per(left)),
        }
    }

    /// Renders the forecast; `unit` is a part of the names, such as `_nano_usd`.
    pub(super) fn to_json(self, unit: &str) -> Value {
        json!({
            (format!("rate{unit}_per_hour")): clamped(self.rate_per_hour),
            "spent_by": self.spent_by,
            (format!("at_reset{unit}")): clamped(self.at_reset),
        })
    }
}

/// Returns the time at which `cap` is reached, if anything is used.
fn spent_by(used: u128, cap: u128, elapsed: u128, now: u64) -> Option<u64> {
    let left = cap.saturating_sub(used);
    if left == 0 {
        return Some(now);
    }
    let wait = left.saturating_mul(elapsed).checked_div(used)?;
    // Rounded up, because before that second is over there is room.
    u64::try_from(wait).ok()?.checked_add(now)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn forecast(used: u128, cap: u128, now: u64) -> BudgetForecast {
        let times = BudgetTimes {
            starts_at: 10 * DAY,
            now: 10 * DAY + now,
            resets_at: 11 * DAY,
        };
        BudgetForecast::new(used, cap, times)
    }

    #[test]
    fn forecast_extends_the_rate_since_the_start() {
        let half = forecast(600, 1000, 6 * HOUR);
        assert_eq!(half.rate_per_hour, 100);
        assert_eq!(half.spent_by, Some(10 * DAY + 10 * HOUR + 1));
        assert_eq!(half.at_reset, 2400);
        let slow = forecast(100, 1000, 6 * HOUR);
        assert_eq!((slow.spent_by, slow.at_reset), (None, 400));
    }

    #[test]
    fn forecast_of_the_first_minutes_counts_an_hour() {
        let early = forecast(10, 1000, 60);
        assert_eq!(early.rate_per_hour, 10);
        assert_eq!(early.at_reset, 10 + 10 * (DAY - 60) as u128 / 3600);
    }

    #[test]
    fn forecast_of_an_unused_or_used_up_budget() {
        let unused = forecast(0, 1000, 6 * HOUR);
        assert_eq!((unused.spent_by, unused.at_reset), (None, 0));
        for (used, cap) in [(1000, 1000), (1001, 1000), (0, 0)] {
            let over = forecast(used, cap, 6 * HOUR);
            assert_eq!(over.spent_by, Some(10 * DAY + 6 * HOUR), "{used} of {cap}");
        }
        let huge = forecast(u128::MAX, u128::MAX - 1, 6 * HOUR);
        assert_eq!(huge.spent_by, Some(10 * DAY + 6 * HOUR));
    }

    #[test]
    fn forecast_names_its_unit() {
        let shown = forecast(600, 1000, 6 * HOUR).to_json("_nano_usd");
        assert_eq!(shown["rate_nano_usd_per_hour"], 100);
        assert_eq!(shown["at_reset_nano_usd"], 2400);
        let tokens = forecast(0, 1, 6 * HOUR).to_json("");
        assert!(tokens["spent_by"].is_null() && tokens["rate_per_hour"] == 0);
    }
}
