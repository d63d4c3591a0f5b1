//! Labels with values from finite sets, and the buckets of histograms.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::NativeHistogramConfig;

/// Label value of what is outside of a finite set.
pub(super) const OTHER: &str = "other";
/// Maximum number of models with a label of their own.
const MAX_MODELS: usize = 64;
/// Bounds of durations, in seconds: from a request that does no work to a long answer.
pub(super) const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];

/// Bounds of durations of disk writes, in seconds.
const DISK_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Schema of native histograms: eight buckets for each power of two, so that bounds are 9 % apart.
pub(super) const NATIVE_SCHEMA: i8 = 3;
/// Maximum number of buckets of a native histogram; beyond it there are half as many for each power of
/// two. 160: enough for values from 1 to a million.
const MAX_NATIVE_BUCKETS: usize = 160;

/// Histograms of durations in seconds, one for each label set.
pub(super) type SecondsFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters, one for each label set.
pub(super) type CounterFamily<L> = Family<L, Counter>;

/// Counter of dollars.
pub(super) type DollarCounter = Counter<f64, AtomicU64>;

/// Creates a histogram of durations in seconds.
pub(super) fn seconds_histogram() -> Histogram {
    histogram(SECONDS)
}

/// Creates a histogram of the durations of disk writes, in seconds.
pub(super) fn disk_histogram() -> Histogram {
    histogram(DISK_SECONDS)
}

/// Creates a histogram with these bounds of classic buckets, and with native buckets.
pub(super) fn histogram(bounds: impl IntoIterator<Item = f64>) -> Histogram {
    Histogram::new_classic_and_native(bounds, native_config())
}

/// Creates a histogram with native buckets alone.
pub(super) fn native_histogram() -> Histogram {
    Histogram::new_native(native_config())
}

fn native_config() -> NativeHistogramConfig {
    NativeHistogramConfig::with_schema(NATIVE_SCHEMA).max_buckets(MAX_NATIVE_BUCKETS)
}

/// Creates the histograms of durations in seconds.
pub(super) fn seconds_family<L: Clone + std::hash::Hash + Eq>() -> SecondsFamily<L> {
    SecondsFamily::new_with_constructor(seconds_histogram)
}

/// Label of one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ModelLabel {
    pub(super) model: String,
}

/// Models that get a label of their own; clients choose names, so the others share one. Clones
/// share the models.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownModels(Arc<RwLock<HashSet<String>>>);

impl KnownModels {
    /// Adds a model that upstream has answered by, up to [`MAX_MODELS`].
    pub(super) fn add(&self, model: &str) {
        if self.contains(model) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_MODELS {
            known.insert(model.to_owned());
        }
    }

    /// Returns the models that have a label of their own.
    pub(super) fn all(&self) -> Vec<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().cloned().collect()
    }

    fn contains(&self, model: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.contains(model)
    }

    /// Returns the label value of `model`.
    pub(super) fn label(&self, model: &str) -> String {
        if self.contains(model) {
            model.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}
