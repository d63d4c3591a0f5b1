//! Exemplars: the request behind an observation of a histogram, which `OpenMetrics` shows beside the
//! bucket.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::LabelSetEncoder;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;

use super::labels::SECONDS;
use super::labels::SecondsFamily;
use super::labels::native_histogram;

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

/// Histogram of durations whose classic buckets name a request.
type ExemplarHistogram = HistogramWithExemplars<RequestExemplar>;

/// Histograms of durations whose classic buckets name a request.
type ClassicFamily<L> = Family<L, ExemplarHistogram, fn() -> ExemplarHistogram>;

/// Histograms of durations whose buckets name a request, one for each label set. Clones share them.
///
/// A histogram of the library has either exemplars or native buckets, so there are two for each label
/// set, of which the protobuf format makes one.
#[derive(Debug, Clone)]
pub(super) struct ExemplarFamily<L> {
    classic: ClassicFamily<L>,
    native: SecondsFamily<L>,
}

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

    /// Runs `future` for the request that runs now, wherever it is polled. Without a request it is
    /// left as it is.
    pub fn keep_current<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let current = REQUEST.try_with(Self::clone).ok();
        async move {
            match current {
                Some(request) => request.scope(future).await,
                None => future.await,
            }
        }
    }

    /// Returns the request that runs now; `None` for background work, and for ids that are too long
    /// for an exemplar.
    pub fn current() -> Option<Self> {
        let current = REQUEST.try_with(Self::clone).ok();
        current.filter(|exemplar| !exemplar.labels().is_empty())
    }

    /// Returns the id of the request that runs now, of any length; `None` for background work.
    pub fn current_id() -> Option<Arc<str>> {
        REQUEST
            .try_with(|exemplar| Arc::clone(&exemplar.request))
            .ok()
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

impl<L: Clone + Hash + Eq> ExemplarFamily<L> {
    /// Creates an empty family.
    pub(super) fn new() -> Self {
        Self {
            classic: ClassicFamily::new_with_constructor(|| {
                HistogramWithExemplars::new(SECONDS.into_iter())
            }),
            native: SecondsFamily::new_with_constructor(native_histogram),
        }
    }

    /// Returns the histograms with exemplars and classic buckets, to be registered.
    pub(super) fn classic(&self) -> ClassicFamily<L> {
        self.classic.clone()
    }

    /// Returns the histograms with native buckets, to be registered apart from the others.
    pub(super) fn native(&self) -> SecondsFamily<L> {
        self.native.clone()
    }

    /// Adds `seconds` to the histogram of `labels`, with `exemplar` as the example of its bucket.
    pub(super) fn observe(&self, labels: &L, seconds: f64, exemplar: Option<RequestExemplar>) {
        let classic = self.classic.get_or_create(labels);
        classic.observe(seconds, exemplar, Some(SystemTime::now()));
        self.native.get_or_create(labels).observe(seconds);
    }
}
