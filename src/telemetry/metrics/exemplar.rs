//! Exemplars: the request behind an observation of a histogram, which `OpenMetrics` shows beside the
//! bucket.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::LabelSetEncoder;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;

use super::labels::SECONDS;

/// Maximum length of an id. `OpenMetrics` allows 128 characters for all labels of an exemplar.
const MAX_ID_LENGTH: usize = 100;

tokio::task_local! {
    static REQUEST: RequestExemplar;
}

/// Request that an observation belongs to, named by one label. Clones share its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestExemplar {
    label: &'static str,
    id: Arc<str>,
}

/// Histogram of durations whose buckets name a request.
pub(super) type ExemplarHistogram = HistogramWithExemplars<RequestExemplar>;

/// Histograms of durations whose buckets name a request, one for each label set.
pub(super) type ExemplarFamily<L> = Family<L, ExemplarHistogram, fn() -> ExemplarHistogram>;

impl RequestExemplar {
    /// Names a request by its request id.
    pub fn of_request(id: &str) -> Self {
        Self {
            label: "request_id",
            id: id.into(),
        }
    }

    /// Runs `future` for the request: observations made meanwhile name it.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        REQUEST.scope(self, future)
    }

    /// Returns the request that runs now; `None` for background work, and for an id that is too long
    /// for an exemplar.
    pub fn current() -> Option<Self> {
        let current = REQUEST.try_with(Self::clone).ok();
        current.filter(|exemplar| exemplar.id.len() <= MAX_ID_LENGTH)
    }
}

impl EncodeLabelSet for RequestExemplar {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [(self.label, &*self.id)].encode(encoder)
    }
}

/// Creates histograms of durations in seconds whose buckets name a request.
pub(super) fn exemplar_family<L: Clone + std::hash::Hash + Eq>() -> ExemplarFamily<L> {
    ExemplarFamily::new_with_constructor(|| HistogramWithExemplars::new(SECONDS.into_iter()))
}

/// Adds `seconds` to `histogram`, with `exemplar` as the example of its bucket.
pub(super) fn observe(
    histogram: &ExemplarHistogram,
    seconds: f64,
    exemplar: Option<RequestExemplar>,
) {
    histogram.observe(seconds, exemplar, Some(SystemTime::now()));
}
