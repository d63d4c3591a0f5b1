//! Metrics of HTTP requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;
use super::labels::OTHER;
use super::labels::SecondsFamily;
use super::labels::seconds_family;

/// Label value of requests that match no route: their paths are the client's choice.
const UNMATCHED: &str = "unmatched";
/// Label values of methods.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Counters and durations of HTTP requests.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: CounterFamily<RequestLabels>,
    seconds: SecondsFamily<RouteLabel>,
    errors: CounterFamily<ErrorLabel>,
    passed_on: CounterFamily<PassOnLabel>,
}

/// Outcome of a request that was passed on to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOnOutcome {
    /// Answered by the other server, with any status.
    Answered,
    /// Not answered by it.
    Unreachable,
}

/// End of a request, as its metrics see it.
#[derive(Debug, Clone, Copy)]
pub struct RequestEnd<'a> {
    /// Route that the path matches; `None` for unknown paths.
    pub route: Option<&'a str>,
    /// Method, as the client wrote it.
    pub method: &'a str,
    /// Status of the response; 0 if the client left before it.
    pub status: u16,
    /// Code of the error that the response ended with.
    pub error_code: Option<&'static str>,
    /// Time from the request's head to the end of its response.
    pub duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassOnLabel {
    outcome: &'static str,
}

impl PassOnOutcome {
    /// Returns the name of the outcome.
    const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unreachable => "unreachable",
        }
    }
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: CounterFamily::default(),
            seconds: seconds_family(),
            errors: CounterFamily::default(),
            passed_on: CounterFamily::default(),
        };
        registry.register(
            "http_requests",
            "Requests by route, method and status; status 0: the client left before it",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Time from the head of a request to the end of its response, by route",
            metrics.seconds.clone(),
        );
        registry.register(
            "http_errors",
            "Responses that are errors or end with one, by the error's code",
            metrics.errors.clone(),
        );
        registry.register(
            "requests_passed_on",
            "Requests passed on to the server that runs their work, which counts them, by outcome",
            metrics.passed_on.clone(),
        );
        metrics
    }

    /// Counts a request that was passed on to another server.
    pub fn count_passed_on(&self, outcome: PassOnOutcome) {
        let label = PassOnLabel {
            outcome: outcome.name(),
        };
        self.passed_on.get_or_create(&label).inc();
    }

    /// Counts a request that has ended.
    pub fn count_request(&self, end: &RequestEnd<'_>) {
        let route = end.route.unwrap_or(UNMATCHED).to_owned();
        let known = METHODS.iter().find(|method| **method == end.method);
        let label = RouteLabel {
            route: route.clone(),
        };
        self.seconds
            .get_or_create(&label)
            .observe(end.duration.as_secs_f64());
        let labels = RequestLabels {
            route,
            method: known.copied().unwrap_or(OTHER),
            status: end.status,
        };
        self.requests.get_or_create(&labels).inc();
        if let Some(code) = end.error_code {
            self.errors.get_or_create(&ErrorLabel { code }).inc();
        }
    }
}
