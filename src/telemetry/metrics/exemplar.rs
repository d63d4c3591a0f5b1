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

/// Maximum number of characters of all labels of an exemplar, names and values together, that
/// `OpenMetrics` allows.
const MAX_LABEL_LENGTH: usize = 128;

tokio::task_local! {
    static REQUEST: RequestExemplar;
}

/// Request that an observation belongs to, and its trace if it has one. Clones share the ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestExemplar {
    request: Arc<str>,
    trace: Option<Arc<str>>,
}

/// Histogram of durations whose buckets name a request.
pub(super) type ExemplarHistogram = HistogramWithExemplars<RequestExemplar>;

/// Histograms of durations whose buckets name a request, one for each label set.
pub(super) type ExemplarFamily<L> = Family<L, ExemplarHistogram, fn() -> ExemplarHistogram>;

impl RequestExemplar {
    /// Names a request by its request id.
    pub fn of_request(id: &str) -> Self {
        Self {
            request: id.into(),
            trace: None,
        }
    }

    /// Names the trace of the request as well, by its id.
    #[must_use]
    pub fn with_trace(self, id: &str) -> Self {
        Self {
            trace: Some(id.into()),
            ..self
        }
    }

    /// Runs `future` for the request: observations made meanwhile name it.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        REQUEST.scope(self, future)
    }

    /// Returns the request that runs now; `None` for background work, and for ids that are too long
    /// for an exemplar.
    pub fn current() -> Option<Self> {
        let current = REQUEST.try_with(Self::clone).ok();
        current.filter(|exemplar| !exemplar.labels().is_empty())
    }

    /// Returns the labels that fit into an exemplar. The trace goes first: it leads to the request.
    fn labels(&self) -> Vec<(&'static str, &str)> {
        let trace = self.trace.as_deref().map(|id| ("trace_id", id));
        let mut left = MAX_LABEL_LENGTH;
        let mut labels = Vec::new();
        for (name, id) in trace.into_iter().chain([("request_id", &*self.request)]) {
            let length = name.len() + id.chars().count();
            if length <= left {
                left -= length;
                labels.push((name, id));
            }
        }
        labels
    }
}

impl EncodeLabelSet for RequestExemplar {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        self.labels().encode(encoder)
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
