//! Histogram of latencies with a fixed size, of which percentiles are read.

use std::ops::Sub;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Number of buckets for each power of two, as in the native histograms: bounds are 9 % apart.
const BUCKETS_PER_OCTAVE: f64 = 8.0;
/// Number of buckets: from 1 ms, or less, to 2 to the power of 19 ms (nine minutes), or more.
const BUCKETS: usize = 19 * 8 + 1;

/// Numbers of observed latencies in buckets whose bounds grow exponentially.
///
/// The bucket `n` has the latencies up to `2^(n/8)` ms that no bucket before has; the last one has
/// all longer ones, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyBuckets([u64; BUCKETS]);

/// Buckets that several threads count in.
#[derive(Debug)]
pub(super) struct LatencyCounters([AtomicU64; BUCKETS]);

/// Returns the index of the bucket for `latency`.
fn bucket_of(latency: Duration) -> usize {
    let milliseconds = latency.as_secs_f64() * 1000.0;
    let octaves = milliseconds.max(1.0).log2();
    // The cast saturates.
    let index = (octaves * BUCKETS_PER_OCTAVE).ceil() as usize;
    index.min(BUCKETS - 1)
}

/// Returns the bound in milliseconds that is `position` buckets above 1 ms.
fn bound(position: f64) -> f64 {
    (position / BUCKETS_PER_OCTAVE).exp2()
}

impl Default for LatencyBuckets {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Default for LatencyCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl LatencyCounters {
    pub(super) fn count(&self, latency: Duration) {
        self.0[bucket_of(latency)].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> LatencyBuckets {
        LatencyBuckets(std::array::from_fn(|index| self.0[index].load(Relaxed)))
    }
}

impl LatencyBuckets {
    /// Counts one more `latency`.
    pub fn observe(&mut self, latency: Duration) {
        self.0[bucket_of(latency)] += 1;
    }

    /// Adds the numbers of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }

    /// Returns the number of latencies in all buckets.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the latency in milliseconds that `share` of all latencies do not exceed, from 0 to 1;
    /// `None` without any. Within a bucket the latencies count as spread evenly.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = (share * count as f64).ceil().max(1.0);
        let mut below: u64 = 0;
        for (index, latencies) in self.0.iter().enumerate() {
            let through = below + latencies;
            if *latencies > 0 && through as f64 >= rank {
                let part = (rank - below as f64) / *latencies as f64;
                return Some(bound(index as f64 - 1.0 + part));
            }
            below = through;
        }
        None
    }

    /// Returns the buckets that are not empty, as pairs of index and number.
    pub fn to_pairs(&self) -> Vec<(usize, u64)> {
        let pairs = self.0.iter().copied().enumerate();
        pairs.filter(|(_, latencies)| *latencies > 0).collect()
    }

    /// Creates buckets from pairs of index and number. Unknown indexes count as the last bucket.
    pub fn from_pairs(pairs: &[(usize, u64)]) -> Self {
        let mut buckets = Self::default();
        for (index, latencies) in pairs {
            let bucket = &mut buckets.0[(*index).min(BUCKETS - 1)];
            *bucket = bucket.saturating_add(*latencies);
        }
        buckets
    }
}

impl Sub for LatencyBuckets {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let difference = |index: usize| self.0[index].saturating_sub(earlier.0[index]);
        Self(std::array::from_fn(difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_milliseconds(latencies: impl IntoIterator<Item = u64>) -> LatencyBuckets {
        let mut buckets = LatencyBuckets::default();
        for latency in latencies {
            buckets.observe(Duration::from_millis(latency));
        }
        buckets
    }

    #[test]
    fn percentile_is_within_nine_percent_of_the_exact_one() {
        let buckets = of_milliseconds(1..=1000);
        for (share, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = buckets.percentile(share).unwrap();
            assert!((found / exact - 1.0).abs() < 0.09, "{share}: {found}");
        }
        assert_eq!(LatencyBuckets::default().percentile(0.5), None);
    }

    #[test]
    fn extreme_latencies_are_in_the_first_and_last_bucket() {
        let mut buckets = of_milliseconds([0, 1, 3_600_000]);
        buckets.observe(Duration::MAX);
        assert_eq!(buckets.to_pairs(), [(0, 2), (BUCKETS - 1, 2)]);
        assert!(buckets.percentile(0.01).unwrap() <= 1.0);
        assert!(buckets.percentile(1.0).unwrap() <= bound(BUCKETS as f64));
    }

    #[test]
    fn merged_difference_and_pairs_keep_all_numbers() {
        let early = of_milliseconds([5, 80]);
        let late = of_milliseconds([5, 80, 80, 900]);
        let since = late - early;
        assert_eq!((since.count(), since), (2, of_milliseconds([80, 900])));
        let mut sum = early;
        sum.merge(&since);
        assert_eq!(sum, late);
        assert_eq!(LatencyBuckets::from_pairs(&sum.to_pairs()), sum);
        let counters = LatencyCounters::default();
        counters.count(Duration::from_millis(80));
        assert_eq!(counters.read(), of_milliseconds([80]));
    }
}
