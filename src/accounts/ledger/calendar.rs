//! Calendar days and months in UTC.

use std::fmt;

use super::budget::BudgetWindow;
use crate::domain::SECONDS_A_DAY;
use crate::domain::date_from_day;
use crate::domain::day_from_unix;

/// Calendar day, as days since 1 January 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// Calendar month, as months since January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Month(u32);

/// Day or month in which a budget is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Span {
    Day(Day),
    Month(Month),
}

impl Day {
    /// First day: 1 January 1970.
    #[cfg(test)]
    pub(super) const MIN: Self = Self(0);

    /// Day of a Unix time in seconds.
    pub(super) fn of(seconds: u64) -> Self {
        Self(day_from_unix(seconds))
    }

    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// Start of the day, in seconds of Unix time.
    pub(super) fn begins_at(self) -> u64 {
        u64::from(self.0) * SECONDS_A_DAY
    }

    pub(super) fn minus(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Monday of the week of this day.
    pub(super) fn monday(self) -> Self {
        // Day 0 was a Thursday.
        self.minus((self.0 + 3) % 7)
    }

    pub(super) fn month(self) -> Month {
        let (year, month, _) = date_from_day(self.0);
        Month((year - 1970) * 12 + month - 1)
    }
}

impl fmt::Display for Day {
    /// `2026-11-21`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_from_day(self.0);
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

impl Month {
    pub(super) fn first_day(self) -> Day {
        // Inverse of `date_of`: the algorithm `days_from_civil`.
        let year = 1970 + self.0 / 12;
        let month = self.0 % 12 + 1;
        let year = year - u32::from(month <= 2);
        let era = year / 400;
        let year_of_era = year % 400;
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Day(era * 146_097 + day_of_era - 719_468)
    }
}

impl Span {
    /// Day or month that contains `day`.
    pub(super) fn around(window: BudgetWindow, day: Day) -> Self {
        match window {
            BudgetWindow::Day => Self::Day(day),
            BudgetWindow::Month => Self::Month(day.month()),
        }
    }

    pub(super) fn first_day(self) -> Day {
        match self {
            Self::Day(day) => day,
            Self::Month(month) => month.first_day(),
        }
    }

    /// End of the span: start of the next one, in seconds of Unix time.
    pub(super) fn ends_at(self) -> u64 {
        match self {
            Self::Day(day) => day.next().begins_at(),
            Self::Month(month) => Month(month.0 + 1).first_day().begins_at(),
        }
    }

    /// Encoding in a storage key: the kind of the span and its number.
    pub(super) fn to_key(self) -> (u8, u32) {
        match self {
            Self::Day(day) => (b'd', day.0),
            Self::Month(month) => (b'm', month.0),
        }
    }

    pub(super) fn from_key(kind: u8, number: u32) -> Option<Self> {
        match kind {
            b'd' => Some(Self::Day(Day(number))),
            b'm' => Some(Self::Month(Month(number))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_formats_as_date_and_knows_month_and_week() {
        for (seconds, date, first, week) in [
            (0, "1970-01-01", "1970-01-01", "1970-01-01"),
            (951_782_399, "2000-02-28", "2000-02-01", "2000-02-28"),
            (951_782_400, "2000-02-29", "2000-02-01", "2000-02-28"),
            (1_709_251_199, "2024-02-29", "2024-02-01", "2024-02-26"),
            (1_798_761_599, "2026-12-31", "2026-12-01", "2026-12-28"),
            (1_798_761_600, "2027-01-01", "2027-01-01", "2026-12-28"),
            (4_107_542_400, "2100-03-01", "2100-03-01", "2100-03-01"),
            (u64::MAX, "9999-12-31", "9999-12-01", "9999-12-27"),
        ] {
            let day = Day::of(seconds);
            let shown = [day, day.month().first_day(), day.monday()].map(|day| day.to_string());
            assert_eq!(shown, [date, first, week]);
        }
    }

    #[test]
    fn days_are_consecutive_and_belong_to_their_month() {
        let mut before = Day::MIN;
        for number in 1..=60_000 {
            let day = Day(number);
            let first = day.month().first_day();
            let begins = day.to_string().ends_with("-01");
            assert_eq!((first == day, first <= day), (begins, true), "{day}");
            assert_eq!(day.month() == before.month(), !begins, "{day}");
            let month = Span::around(BudgetWindow::Month, before);
            assert_eq!(month.ends_at() == day.begins_at(), begins, "{day}");
            before = day;
        }
    }
}
