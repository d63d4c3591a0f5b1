//! Labels with values from finite sets, and the buckets of histograms.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Label value of what is outside of a finite set.
pub(super) const OTHER: &str = "other";
/// Bounds of durations, in seconds: from a request that does no work to a long answer.
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];

/// Histograms of durations in seconds, one for each label set.
pub(super) type SecondsFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters, one for each label set.
pub(super) type CounterFamily<L> = Family<L, Counter>;

/// Creates a histogram of durations in seconds.
pub(super) fn seconds_histogram() -> Histogram {
    Histogram::new(SECONDS)
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
    /// Adds `models`, which upstream or the operator names.
    pub(super) fn add(&self, models: impl IntoIterator<Item = String>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(models);
    }

    /// Returns the label value of `model`.
    pub(super) fn label(&self, model: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(model) {
            model.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}
