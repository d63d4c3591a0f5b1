//! Export of traces: the tracer of the server, and the task that sends its spans.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Uri;
use hyper::header::CONTENT_TYPE;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use hyper::header::RETRY_AFTER;
use hyper::http::uri::Authority;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::choose_sign_in;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude::SignIn;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::HttpClientError;
use crate::runtime::http_client::read_body;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::ReceiverAnswer;
use crate::telemetry::traces::ResourceAttributes;
use crate::telemetry::traces::SpanExporter;
use crate::telemetry::traces::SpanTransport;
use crate::telemetry::traces::TraceOptions;
use crate::telemetry::traces::TracedUpstream;
use crate::telemetry::traces::Tracer;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Maximum size of an answer, which is a few bytes as a rule.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Host of the calls, unless `ANTHROPIC_BASE_URL` names another one.
const ANTHROPIC_URL: &str = "https://api.anthropic.com";

/// Tracer of the server, with its exporter while traces are on.
#[derive(Debug, Default)]
pub(super) struct TraceExport {
    tracer: Tracer,
    running: Option<RunningExporter>,
}

/// Exporter on a task of its own. Not among the server's tasks: it ends after them, since they
/// record spans.
#[derive(Debug)]
struct RunningExporter {
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// Transport by HTTP to one receiver.
struct HttpTransport {
    client: HttpClient,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

impl TraceExport {
    /// Starts the export that `settings` describe; without a receiver nothing is started.
    pub(super) fn start(settings: &Settings, environment: &Environment, metrics: &Metrics) -> Self {
        let Some(endpoint) = settings.traces.receiver() else {
            return Self::default();
        };
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let transport = HttpTransport {
            // Connections end with the client, and so with the exporter that owns it.
            client: HttpClient::new(TaskTracker::new(), 1),
            url: endpoint.url.clone(),
            headers: settings.traces.headers(),
            timeout: settings.traces.timeout,
        };
        let options = TraceOptions {
            sampler: settings.traces.sampler(),
            conventions: settings.traces.semconv,
            upstream: upstream(settings, environment),
        };
        let (tracer, exporter) = SpanExporter::new(
            options,
            resource(settings),
            transport,
            metrics.spans.clone(),
            stop.clone(),
        );
        tracker.spawn(exporter.run());
        tracker.close();
        let receiver = endpoint.url.authority().map(Authority::as_str);
        tracing::info!(receiver, "traces exported");
        Self {
            tracer,
            running: Some(RunningExporter { stop, tracker }),
        }
    }

    /// Returns the tracer, which records nothing while traces are off.
    pub(super) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Exports the remaining spans, for two seconds at most.
    pub(super) async fn stop(self) {
        if let Some(RunningExporter { stop, tracker }) = self.running {
            stop.cancel();
            tracker.wait().await;
        }
    }
}

impl HttpTransport {
    async fn send(&self, body: Bytes) -> Result<ReceiverAnswer, HttpClientError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, PROTOBUF);
        let answer = self.client.send(request).await?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let body = read_body(answer.into_body(), MAX_ANSWER_BYTES).await?;
        Ok(ReceiverAnswer {
            status,
            retry_after,
            body,
        })
    }
}

impl SpanTransport for HttpTransport {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<ReceiverAnswer, String>> {
        let sent = timeout(self.timeout, self.send(body));
        let sent = sent.map(|sent| match sent {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("the receiver did not answer in time".to_owned()),
        });
        sent.boxed()
    }
}

/// Returns the seconds of a header `Retry-After`. A date is not read: the delay of the next attempt
/// is bounded anyway.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

/// Returns the attributes that describe this server: its settings, its version, an id of this
/// start.
fn resource(settings: &Settings) -> ResourceAttributes {
    let mut attributes = settings.traces.resource();
    let own = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    for (name, value) in own {
        if !attributes.iter().any(|(known, _)| known == name) {
            attributes.push((name.to_owned(), value));
        }
    }
    ResourceAttributes(attributes)
}

/// Returns the destination of the calls to the model, by the sign-in and the environment.
fn upstream(settings: &Settings, environment: &Environment) -> TracedUpstream {
    let sign_in = choose_sign_in(settings, environment);
    let provider = match sign_in {
        Some(SignIn::Bedrock) => "aws.bedrock",
        Some(SignIn::Vertex) => "gcp.vertex_ai",
        _ => "anthropic",
    };
    let uses_base_url = sign_in.is_none_or(SignIn::uses_base_url);
    let base = environment
        .get("ANTHROPIC_BASE_URL")
        .unwrap_or(ANTHROPIC_URL);
    let base: Option<Uri> = base.parse().ok().filter(|_| uses_base_url);
    let address = base.as_ref().and_then(Uri::host).map(str::to_owned);
    let port = base.as_ref().and_then(|base| {
        let usual = match base.scheme_str() {
            Some("http") => 80,
            _ => 443,
        };
        base.host()?;
        Some(base.port_u16().unwrap_or(usual))
    });
    TracedUpstream {
        provider,
        address,
        port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;

    fn settings(environment: &Environment) -> Settings {
        Settings::load(None, environment, &CommandLineFlags::default()).unwrap()
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let home = [("HOME", "/home/me")];
        home.iter().chain(variables).copied().collect()
    }

    #[tokio::test]
    async fn without_a_receiver_no_task_is_started() {
        let environment = environment(&[]);
        let metrics = Metrics::new();
        let export = TraceExport::start(&settings(&environment), &environment, &metrics);
        assert!(!export.tracer().is_on() && export.running.is_none());
        export.stop().await;
    }

    #[tokio::test]
    async fn exporter_with_nothing_to_send_stops_at_once() {
        let receiver = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let environment = environment(&[receiver]);
        let metrics = Metrics::new();
        let export = TraceExport::start(&settings(&environment), &environment, &metrics);
        assert!(export.tracer().is_on());
        export.stop().await;
    }

    #[test]
    fn upstream_is_that_of_the_sign_in_and_the_base_url() {
        let of = |variables: &[(&str, &str)]| {
            let environment = environment(variables);
            let found = upstream(&settings(&environment), &environment);
            (found.provider, found.address, found.port)
        };
        let key = ("ANTHROPIC_API_KEY", "sk");
        let anthropic = Some("api.anthropic.com".to_owned());
        assert_eq!(of(&[key]), ("anthropic", anthropic, Some(443)));
        let base = ("ANTHROPIC_BASE_URL", "http://127.0.0.1:4000/x");
        let local = Some("127.0.0.1".to_owned());
        assert_eq!(of(&[key, base]), ("anthropic", local, Some(4000)));
        let bedrock = [("CLAUDE_CODE_USE_BEDROCK", "1")];
        assert_eq!(of(&bedrock), ("aws.bedrock", None, None));
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let of = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Fri, 31 Dec 2027 23:59:59 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
