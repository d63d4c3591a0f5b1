//! Percentiles, means and extremes of samples.

use std::time::Duration;

/// Measured values of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_ms(&mut self, duration: Duration) {
        self.push(duration.as_secs_f64() * 1e3);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Returns the sums of the values of both, pair by pair.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(value, added)| value + added).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn p50(&self) -> f64 {
        self.percentile(50.0)
    }

    /// Returns the percentile by nearest rank; NaN for an empty sample.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank within a sample that fits into memory"
    )]
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Counts the values of at least `limit`.
    pub(crate) fn above(&self, limit: f64) -> usize {
        self.0.iter().filter(|value| **value >= limit).count()
    }

    /// Formats the median with minimum and maximum.
    pub(crate) fn spread(&self, digits: usize) -> String {
        let median = self.p50();
        let min = self.min();
        let max = self.max();
        format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
