//! `doctor --live URL`: checks of a running server through the URL of its clients, which shows what
//! the proxies on the way do.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::DATE;
use hyper::header::LOCATION;
use serde_json::Value;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::retain_wanted;
use super::stream_arrivals::StreamArrivals;
use crate::domain::unix_now;
use crate::runtime::checks::CHECK_TIMEOUT;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckResult;
use crate::runtime::checks::PlannedCheck;
use crate::runtime::checks::run_checks;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::read_body;

/// Names of the checks through a URL, in the order in which they are shown.
pub(super) const LIVE_CHECKS: [&str; 7] = [
    "health",
    "ready",
    "event_stream",
    "request_id",
    "websocket",
    "version",
    "server_clock",
];
/// Number of events of the stream that is asked for.
const EVENT_COUNT: usize = 5;
/// Maximum size of a body, that of the document of the API.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Maximum size of the stream, many times that of its events.
const MAX_STREAM_BYTES: usize = 64 << 10;
/// Difference of two clocks that is no fault, in seconds.
const MAX_CLOCK_SKEW: u64 = 30;
const REQUEST_ID: &str = "x-request-id";
/// Advice on a proxy that does not let a connection become a WebSocket.
const PASS_UPGRADE: &str = "let the proxy pass the upgrade on; in nginx: `proxy_http_version 1.1;`, `proxy_set_header Upgrade \
                            $http_upgrade;` and `proxy_set_header Connection $connection_upgrade;` with a `map`";
/// Advice on a proxy that replaces or removes the id of a request.
const PASS_REQUEST_ID: &str = "let the proxy pass x-request-id on in both directions, so that a client's id finds its line in the \
                               server's log";

/// Server behind a URL. Clones use the same client.
#[derive(Debug, Clone)]
struct LiveServer {
    url: String,
    client: HttpClient,
}

/// Makes the checks of the server at `url` that `only` names, or all. If it cannot be reached at all,
/// that is the only result.
pub(super) async fn check_server(url: &str, only: &[String]) -> Vec<CheckResult> {
    let server = LiveServer {
        url: url.to_owned(),
        client: HttpClient::new(TaskTracker::new(), 0),
    };
    let reached = timeout(CHECK_TIMEOUT, server.get("/health", &[])).await;
    let problem = match reached {
        Ok(Ok(_)) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => Some("no answer in time".to_owned()),
    };
    if let Some(problem) = problem {
        let finding = server.unreachable(&problem);
        return vec![finding.named(LIVE_CHECKS[0], CheckPlace::Command)];
    }
    let mut checks = server.plan();
    retain_wanted(&mut checks, only);
    run_checks(checks, CheckPlace::Command).await
}

impl LiveServer {
    fn plan(&self) -> Vec<PlannedCheck> {
        vec![
            self.planned("health", Self::check_health),
            self.planned("ready", Self::check_readiness),
            self.planned("event_stream", Self::check_event_stream),
            self.planned("request_id", Self::check_request_id),
            self.planned("websocket", Self::check_websocket),
            self.planned("version", Self::check_version),
            self.planned("server_clock", Self::check_clock),
        ]
    }

    /// Plans the check `name`, which ends with an error if the server cannot be reached.
    fn planned<F>(&self, name: &'static str, check: impl FnOnce(Self) -> F) -> PlannedCheck
    where
        F: Future<Output = Result<CheckFinding, String>> + Send + 'static,
    {
        let server = self.clone();
        let checked = check(self.clone());
        PlannedCheck::new(name, async move {
            let found = checked.await;
            found.unwrap_or_else(|problem| server.unreachable(&problem))
        })
    }

    /// Sends a GET request, and returns the response once its head is here.
    async fn get(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::new()));
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await;
        answer.map_err(|error| error.to_string())
    }

    fn unreachable(&self, problem: &str) -> CheckFinding {
        CheckFinding::fail(
            format!("no server answers at {}: {problem}", self.url),
            "start it with `claude-switchboard serve`, and the proxy in front of it; or correct the URL",
        )
    }

    async fn check_health(self) -> Result<CheckFinding, String> {
        let begun = Instant::now();
        let answer = self.get("/health", &[]).await?;
        if answer.status() != 200 {
            return Ok(unexpected("/health", &answer));
        }
        let took = begun.elapsed().as_millis();
        let detail = format!("{}/health answers within {took} ms", self.url);
        Ok(CheckFinding::pass(detail))
    }

    async fn check_readiness(self) -> Result<CheckFinding, String> {
        let answer = self.get("/ready", &[]).await?;
        Ok(match answer.status().as_u16() {
            200 => CheckFinding::pass("requests can be answered"),
            503 => not_ready(&read_json(answer).await),
            _ => unexpected("/ready", &answer),
        })
    }

    async fn check_event_stream(self) -> Result<CheckFinding, String> {
        let path = format!("/health/stream?n={EVENT_COUNT}");
        let begun = Instant::now();
        let answer = self.get(&path, &[]).await?;
        if answer.status() == 429 {
            let hint = "try again in a minute";
            let detail = "not known: the server has had too many probes";
            return Ok(CheckFinding::warn(detail, hint));
        }
        if answer.status() != 200 {
            return Ok(unexpected("/health/stream", &answer));
        }
        let mut body = Limited::new(answer.into_body(), MAX_STREAM_BYTES);
        let mut arrivals = StreamArrivals::default();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(piece) = frame.data_ref() {
                arrivals.add(piece, begun.elapsed());
            }
        }
        Ok(arrivals.judge(EVENT_COUNT))
    }

    async fn check_request_id(self) -> Result<CheckFinding, String> {
        let id = format!("doctor-{}", Uuid::new_v4());
        let answer = self.get("/health", &[(REQUEST_ID, id.as_str())]).await?;
        let returned = answer.headers().get(REQUEST_ID);
        let returned = returned.and_then(|value| value.to_str().ok());
        Ok(match returned {
            Some(returned) if returned == id => {
                CheckFinding::pass("x-request-id goes to the server and comes back")
            }
            Some(_) => CheckFinding::warn("x-request-id is replaced on the way", PASS_REQUEST_ID),
            None => CheckFinding::warn("x-request-id is removed on the way", PASS_REQUEST_ID),
        })
    }

    async fn check_websocket(self) -> Result<CheckFinding, String> {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            // Any 16 bytes: the connection is closed once it is a WebSocket.
            ("sec-websocket-key", "ZG9jdG9yLWRvY3Rvci1kbw=="),
        ];
        let answer = self.get("/v1/stream", &headers).await?;
        Ok(match answer.status().as_u16() {
            101 => CheckFinding::pass("a connection becomes a WebSocket"),
            // A server with keys asks for one only if no upgrade is asked for.
            400 | 401 | 426 => CheckFinding::fail(
                "the server is not asked for a WebSocket: the upgrade is lost on the way",
                PASS_UPGRADE,
            ),
            _ => unexpected("/v1/stream", &answer),
        })
    }

    async fn check_version(self) -> Result<CheckFinding, String> {
        let answer = self.get("/openapi.json", &[]).await?;
        Ok(match answer.status().as_u16() {
            200 => judge_version(read_json(answer).await["info"]["version"].as_str()),
            404 => CheckFinding::pass("not known: the server does not describe its API"),
            _ => unexpected("/openapi.json", &answer),
        })
    }

    async fn check_clock(self) -> Result<CheckFinding, String> {
        let answer = self.get("/health", &[]).await?;
        let date = answer.headers().get(DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        Ok(judge_clock(date, unix_now()))
    }
}

/// Describes an answer with a status that the server does not give to such a request.
fn unexpected(path: &str, answer: &Response<Incoming>) -> CheckFinding {
    let status = answer.status();
    let target = answer.headers().get(LOCATION);
    let target = target.and_then(|target| target.to_str().ok());
    let hint = match (status.as_u16(), target) {
        (300..=399, Some(target)) => format!("use the URL that it names: {target}"),
        (401 | 403, _) => {
            "the server needs a key and its own name, or the proxy asks for a sign-in: see the log of both"
                .to_owned()
        }
        (404, _) => format!("let the proxy pass {path} on; an older server lacks it"),
        (502..=504, _) => {
            "the proxy does not reach the server: start it, or correct the address in the proxy"
                .to_owned()
        }
        _ => "see the log of the proxy and of the server".to_owned(),
    };
    CheckFinding::fail(format!("{path} answers {status}"), hint)
}

fn not_ready(body: &Value) -> CheckFinding {
    let problems = body["problems"].as_array();
    let problems: Vec<&str> = problems
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if problems.is_empty() {
        let hint = "start the server, or correct the address in the proxy";
        return CheckFinding::fail("/ready answers 503 without a reason", hint);
    }
    CheckFinding::fail(problems.join(" "), "mend what it says on the server")
}

fn judge_version(version: Option<&str>) -> CheckFinding {
    let own = env!("CARGO_PKG_VERSION");
    match version {
        Some(version) if version == own => {
            CheckFinding::pass(format!("{version}, as this command"))
        }
        Some(version) => CheckFinding::warn(
            format!("the server has {version}, and this command {own}"),
            "install the same version in both places",
        ),
        None => CheckFinding::warn(
            "/openapi.json names no version",
            "another server may answer at this URL: correct it",
        ),
    }
}

/// Compares the time of the server, or of the proxy in front of it, with that of this machine.
fn judge_clock(date: Option<SystemTime>, now: u64) -> CheckFinding {
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(date) = date else {
        return CheckFinding::pass("not known: the answer has no date");
    };
    let skew = date.as_secs().abs_diff(now);
    let detail = format!("{skew} s from that of this machine");
    if skew <= MAX_CLOCK_SKEW {
        return CheckFinding::pass(detail);
    }
    let hint = "let both machines keep their clocks: timedatectl set-ntp true";
    CheckFinding::warn(detail, hint)
}

/// Reads a body as JSON; null if it is none.
async fn read_json(answer: Response<Incoming>) -> Value {
    let body = read_body(answer.into_body(), MAX_BODY_BYTES).await;
    serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
#[path = "live_server_tests.rs"]
mod tests;
