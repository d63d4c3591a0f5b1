//! Two sign-ins over the real CLI whose APIs fail one after the other, in the middle of load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::future::join_all;
use messages_stand_in::{RecordedRequest, StandIn, credential_digest};
use serde_json::{Value, json};

use crate::support::{TestServer, serve, within};

const ADMIN: &str = "made-up-admin-key";
const FIRST_KEY: &str = "sk-ant-made-up-first";
const SECOND_TOKEN: &str = "sk-ant-oat01-made-up-second";
/// Minimum number of requests in all.
const REQUESTS: usize = 1000;
/// Requests that end under each fault.
const REQUESTS_UNDER_FAULT: usize = 90;
const CONCURRENCY: usize = 6;
/// Maximum time until a sign-in serves again: its breaker waits for up to a minute.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(150);

/// Way in which an API fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Limit of a minute, with the time of the next attempt.
    Limited,
    /// Used window of a plan, which begins again after some seconds.
    WindowUsed,
    Overloaded,
    DeadToken,
}

/// API in front of a stand-in, which can be made to fail.
#[derive(Clone)]
struct FaultyApi {
    stand_in: Arc<StandIn>,
    client: reqwest::Client,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl FaultyApi {
    /// Starts the API, and returns it with its address.
    async fn start() -> (Self, String) {
        let this = Self {
            stand_in: Arc::new(StandIn::start().await.unwrap()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            fault: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(this.clone());
        let url = format!("http://{}", serve(router).await);
        (this, url)
    }

    fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the turns that have reached the stand-in.
    fn turns(&self) -> Vec<RecordedRequest> {
        let requests = self.stand_in.requests().into_iter();
        let is_turn =
            |request: &RecordedRequest| request.path == "/v1/messages" && request.method == "POST";
        requests.filter(is_turn).collect()
    }

    /// Passes a request on to the stand-in.
    async fn pass(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{}{path}", self.stand_in.base_url());
        let mut headers = parts.headers;
        headers.remove(header::HOST);
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let passed = self
            .client
            .request(parts.method, url)
            .headers(headers)
            .body(body);
        let answer = passed.send().await.unwrap();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        *response.body_mut() = Body::from(answer.bytes().await.unwrap());
        response
    }
}

async fn answer(State(api): State<FaultyApi>, request: Request) -> Response {
    let fails = request.uri().path() == "/v1/messages";
    match api.fault().filter(|_| fails) {
        Some(fault) => fault.answer(),
        None => api.pass(request).await,
    }
}

impl Fault {
    fn answer(self) -> Response {
        let (status, kind) = match self {
            Self::Limited | Self::WindowUsed => (429, "rate_limit_error"),
            Self::Overloaded => (529, "overloaded_error"),
            Self::DeadToken => (401, "authentication_error"),
        };
        let body = json!({"type": "error", "error": {"type": kind, "message": "It fails."}});
        let status = StatusCode::from_u16(status).unwrap();
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Limited => {
                headers.insert("retry-after", HeaderValue::from_static("2"));
            }
            Self::WindowUsed => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let reset = HeaderValue::from(now.as_secs() + 5);
                let rejected = HeaderValue::from_static("rejected");
                headers.insert("anthropic-ratelimit-unified-status", rejected.clone());
                headers.insert("anthropic-ratelimit-unified-reset", reset.clone());
                headers.insert(
                    "anthropic-ratelimit-unified-representative-claim",
                    HeaderValue::from_static("five_hour"),
                );
                headers.insert("anthropic-ratelimit-unified-5h-status", rejected);
                headers.insert("anthropic-ratelimit-unified-5h-reset", reset);
                headers.insert(
                    "anthropic-ratelimit-unified-5h-utilization",
                    HeaderValue::from_static("1"),
                );
            }
            Self::Overloaded | Self::DeadToken => {}
        }
        response
    }
}

/// Load of one-message conversations, until it is stopped.
struct Load<'a> {
    server: &'a TestServer,
    begun: AtomicUsize,
    ended: AtomicUsize,
    is_over: AtomicBool,
    /// Requests that the second sign-in has answered.
    by_second: AtomicUsize,
}

impl Load<'_> {
    async fn run(&self) {
        while !self.is_over.load(Relaxed) {
            let number = self.begun.fetch_add(1, Relaxed);
            let prompt = format!("word-{number} [[echo]]");
            let answer = self.server.chat(&prompt).send().await;
            assert_eq!(answer.status, 200, "{number}: {}", answer.body);
            let text = answer.text();
            assert!(text.starts_with(&format!("word-{number} ")), "{text}");
            if answer.headers["x-switchboard-sign-in"] == "second" {
                self.by_second.fetch_add(1, Relaxed);
            }
            self.ended.fetch_add(1, Relaxed);
        }
    }

    /// Waits until this many more requests have ended.
    async fn wait_for(&self, more: usize) {
        let goal = self.ended.load(Relaxed) + more;
        within(RECOVERY_TIMEOUT, "requests end", || {
            std::future::ready((self.ended.load(Relaxed) >= goal).then_some(()))
        })
        .await;
    }

    /// Waits until both sign-ins serve.
    async fn wait_for_recovery(&self) {
        within(RECOVERY_TIMEOUT, "both sign-ins serve", || async {
            let sign_ins = admin(self.server, "/admin/sign-ins").await;
            let sign_ins = sign_ins["data"].as_array().unwrap().clone();
            let is_healthy = |sign_in: &Value| {
                let circuits = sign_in["breaker"].as_array().unwrap();
                sign_in["problems"] == json!([])
                    && circuits.iter().all(|circuit| circuit["state"] == "closed")
            };
            sign_ins.iter().all(is_healthy).then_some(())
        })
        .await;
    }

    /// Lets one of the APIs after the other fail, and recover. At each time one of them serves.
    async fn fail_in_turns(&self, first: &FaultyApi, second: &FaultyApi) {
        for (api, fault) in [
            (first, Fault::Limited),
            (second, Fault::Overloaded),
            (first, Fault::DeadToken),
            (second, Fault::WindowUsed),
            (first, Fault::Overloaded),
            (second, Fault::DeadToken),
        ] {
            api.set(Some(fault));
            self.wait_for(REQUESTS_UNDER_FAULT).await;
            api.set(None);
            self.wait_for_recovery().await;
        }
        self.wait_for(REQUESTS.saturating_sub(self.ended.load(Relaxed)))
            .await;
        self.is_over.store(true, Relaxed);
    }
}

async fn admin(server: &TestServer, path: &str) -> Value {
    let request = server.http.get(server.url(path)).bearer_auth(ADMIN);
    request.send().await.unwrap().json().await.unwrap()
}

async fn start_server(first_url: &str, second_url: &str) -> TestServer {
    let list = r#"[
        {name = "first", kind = "api_key", variable = "KEY_FIRST", variables = {ANTHROPIC_BASE_URL = "URL_FIRST"}},
        {name = "second", kind = "oauth_token", variable = "TOKEN_SECOND", variables = {ANTHROPIC_BASE_URL = "URL_SECOND"}},
    ]"#;
    TestServer::real()
        .await
        .workers(4)
        .set("KEY_FIRST", FIRST_KEY)
        .set("TOKEN_SECOND", SECOND_TOKEN)
        .set("URL_FIRST", first_url)
        .set("URL_SECOND", second_url)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
        .set("SWITCHBOARD_SIGN_INS__HEADER", true)
        .set("SWITCHBOARD_SIGN_INS__LIST", list)
        .start()
        .await
}

/// Returns the numbers of the requests whose words are in `turns`.
fn words(turns: &[RecordedRequest]) -> BTreeSet<String> {
    let words = turns.iter().map(|turn| {
        let text = turn.body["messages"].to_string();
        let start = text.find("word-").unwrap();
        text[start..]
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_none_is_doubled_while_sign_ins_fail_in_turns() {
    let (first, first_url) = FaultyApi::start().await;
    let (second, second_url) = FaultyApi::start().await;
    let server = start_server(&first_url, &second_url).await;
    let load = Load {
        server: &server,
        begun: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        by_second: AtomicUsize::new(0),
    };
    let clients = join_all((0..CONCURRENCY).map(|_| load.run()));
    futures::join!(clients, load.fail_in_turns(&first, &second));
    let requests = load.ended.load(Relaxed);
    assert!(requests >= REQUESTS);

    let by_first = first.turns();
    let by_second = second.turns();
    assert_eq!(by_second.len(), load.by_second.load(Relaxed));
    assert_eq!(
        by_first.len() + by_second.len(),
        requests,
        "each is answered once"
    );
    let of_first = words(&by_first);
    let of_second = words(&by_second);
    assert!(of_first.is_disjoint(&of_second), "no prompt is at both");
    assert_eq!(of_first.len() + of_second.len(), requests);
    let is_called_with = |turns: &[RecordedRequest], credential: &str| {
        let digest = credential_digest(credential);
        turns.iter().all(|turn| turn.credential == digest)
    };
    assert!(is_called_with(&by_first, FIRST_KEY));
    assert!(is_called_with(&by_second, SECOND_TOKEN));

    let usage = admin(&server, "/admin/usage?period=all").await;
    let totals = &usage["totals"];
    assert_eq!(totals["requests"], requests, "{totals}");
    assert_eq!(totals["unknown_requests"], 0, "{totals}");
    server.end().await;
}
