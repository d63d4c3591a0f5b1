//! Requests about work that another server runs.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Mutex;

use axum::http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::with_keys::with_configured_key;
use super::*;
use crate::accounts::auth::Credentials;
use crate::accounts::ledger;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwners;
use crate::http::NodeLinkDeps;
use crate::runtime::http_client::HttpClient;
use crate::storage::store::testing::SharedBackend;

const NOW: u64 = 1_795_255_200;
const HOUR: u64 = 3600;
/// Longest wait for something that happens at once.
const MAX_TEST_WAIT: Duration = Duration::from_secs(30);
const SECRET: &str = "0123456789abcdef";
const CANCEL: &str = "/v1/responses/resp_1/cancel";
/// Body of the other server's answer: an error, which has one form for all endpoints.
const ANSWER: &str = r#"{"error":{"message":"by the other server","type":"invalid_request_error","param":null,"code":"response_not_found"}}"#;

/// Server `b`, and the records of a response and a batch that the server `a` runs.
struct TwoNodes {
    b: Router,
    owners_of_a: WorkOwners,
    backend: Arc<SharedBackend>,
}

/// Headers of the requests that have reached the server `a`.
type PassedHeaders = Arc<Mutex<Vec<HeaderMap>>>;

impl TwoNodes {
    async fn start() -> Self {
        Self::with_last_sign_of_a(NOW).await
    }

    /// Starts the servers where the last sign of life of the server `a` was at `seconds`.
    async fn with_last_sign_of_a(seconds: u64) -> Self {
        let backend = Arc::new(SharedBackend::default());
        let store = Store::new(Arc::clone(&backend) as _, TaskTracker::new()).unwrap();
        let owners_of_a = WorkOwners::of(&open_ledger(&store, "a", seconds).await);
        let owners_of_b = WorkOwners::of(&open_ledger(&store, "b", NOW).await);
        let keys = Keys::new(["secret-1"]).unwrap();
        let credentials = Credentials {
            authorization: Some("Bearer secret-1"),
            ..Credentials::default()
        };
        let caller = keys.authenticate(&credentials, None).unwrap();
        for (kind, owner, id) in [
            (WorkKind::Response, keys.owner_id(&caller), "resp_1"),
            (WorkKind::Batch, caller.project.clone(), "batch_1"),
        ] {
            owners_of_a.begin(kind, &owner, id).await.unwrap();
        }
        let link = NodeLink::new(NodeLinkDeps {
            node: "b".to_owned(),
            config: serde_json::from_value(
                json!({"address": "", "secret": SECRET, "pass_on_timeout_seconds": 20}),
            )
            .unwrap(),
            owners: owners_of_b,
            client: HttpClient::new(TaskTracker::new(), 0),
            max_silence: Duration::from_secs(60),
            metrics: Metrics::default().http.clone(),
            tracker: TaskTracker::new(),
            drain_expired: DrainExpired::default(),
        });
        let state = AppState {
            link,
            ..state(ScriptedTurns::playing([started(), Step::Hang]))
        };
        Self {
            b: router(with_configured_key(state)),
            owners_of_a,
            backend,
        }
    }

    /// Serves the server `a`, whose answers carry `name`.
    async fn serve_a(&self, name: &'static str) -> PassedHeaders {
        let passed = PassedHeaders::default();
        let seen = Arc::clone(&passed);
        let answer = async move |request: Request<Body>| {
            seen.lock().unwrap().push(request.headers().clone());
            let headers = [
                ("x-switchboard-node", name),
                ("content-type", "application/json"),
            ];
            (StatusCode::NOT_FOUND, headers, ANSWER)
        };
        self.serve(Router::new().fallback(answer)).await;
        passed
    }

    /// Serves `app` as the server `a`.
    async fn serve(&self, app: Router) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, app).await });
        let url = format!("http://{address}");
        self.owners_of_a.announce(&url).await.unwrap();
    }

    async fn cancel(&self, headers: &[(&str, &str)]) -> Response {
        send(self.b.clone(), cancel(headers)).await
    }
}

async fn open_ledger(store: &Store, node: &str, seconds: u64) -> Ledger {
    let config = ledger::Config {
        keep_charges_days: 92,
        node: node.to_owned(),
    };
    let clock = Clock::new(move || seconds);
    let opened = Ledger::open(store.clone(), clock, config).await;
    opened.unwrap().ledger
}

fn cancel(headers: &[(&str, &str)]) -> Request<Body> {
    let key = ("authorization", "Bearer secret-1");
    request("POST", CANCEL, &[&[key][..], headers].concat(), "")
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_passed_on_to_the_server_that_runs_the_work() {
    let nodes = TwoNodes::start().await;
    let own = error(nodes.cancel(&[]).await).await.1;
    assert_ne!(own["message"], "by the other server", "it has no address");
    let passed = nodes.serve_a("a").await;
    let answer = nodes.cancel(&[("connection", "close")]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!answer.headers().contains_key("x-switchboard-node"));
    assert_eq!(body(answer).await, ANSWER);
    let headers = passed.lock().unwrap().pop().unwrap();
    for (name, value) in [
        ("x-switchboard-node", "a"),
        ("x-switchboard-node-secret", SECRET),
        ("authorization", "Bearer secret-1"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(headers.contains_key("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn passed_request_is_not_passed_on_again() {
    let nodes = TwoNodes::start().await;
    let passed = nodes.serve_a("a").await;
    let headers = [
        ("x-switchboard-node", "b"),
        ("x-switchboard-node-secret", SECRET),
    ];
    let answer = nodes.cancel(&headers).await;
    assert_eq!(answer.headers()["x-switchboard-node"], "b");
    let (status, own) = error(answer).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_ne!(own["message"], "by the other server");
    assert!(passed.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn request_with_a_wrong_secret_or_for_another_server_is_refused() {
    let nodes = TwoNodes::start().await;
    let without_link = router(with_configured_key(state(ScriptedTurns::playing([]))));
    let wrong = ("x-switchboard-node-secret", "0123456789abcdeg");
    let right = ("x-switchboard-node-secret", SECRET);
    for (server, headers, code) in [
        (&nodes.b, &[wrong][..], "403 \"wrong_node_secret\""),
        (&nodes.b, &[right, wrong], "403 \"wrong_node_secret\""),
        (&without_link, &[right], "403 \"wrong_node_secret\""),
        (&nodes.b, &[right], "503 \"node_unreachable\""),
        (
            &nodes.b,
            &[right, ("x-switchboard-node", "c")],
            "503 \"node_unreachable\"",
        ),
    ] {
        let (status, error) = error(send(server.clone(), cancel(headers)).await).await;
        assert_eq!(
            format!("{} {}", status.as_u16(), error["code"]),
            code,
            "{headers:?}"
        );
    }
    // The name alone has no effect.
    let named = nodes.cancel(&[("x-switchboard-node", "c")]).await;
    assert_eq!(named.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_of_anything_but_the_server_asked_for_is_a_503() {
    let nodes = TwoNodes::start().await;
    let announced = nodes.owners_of_a.announce("http://127.0.0.1:1");
    announced.await.unwrap();
    let answer = nodes.cancel(&[]).await;
    assert_eq!(answer.headers()["retry-after"], "5");
    let (status, unreachable) = error(answer).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unreachable["code"], "node_unreachable");
    let message = unreachable["message"].as_str().unwrap();
    assert!(!message.contains("127.0.0.1"), "{message}");

    let nodes = TwoNodes::start().await;
    let passed = nodes.serve_a("another").await;
    let (status, refused) = error(nodes.cancel(&[]).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused["code"], "node_unreachable");
    assert_eq!(passed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn work_of_a_server_that_is_gone_is_told_as_such_unless_the_records_answer() {
    let nodes = TwoNodes::with_last_sign_of_a(NOW - HOUR).await;
    let (status, gone) = error(nodes.cancel(&[]).await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(gone["code"], "node_unreachable");
    let key = [("authorization", "Bearer secret-1")];
    let cancel_batch = request("POST", "/v1/batches/batch_1/cancel", &key, "");
    let (status, unknown) = error(send(nodes.b.clone(), cancel_batch).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(unknown["code"], "batch_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_ends_the_request_at_the_other_server() {
    let nodes = TwoNodes::start().await;
    let (guard, ended) = oneshot::channel::<()>();
    let guard = Arc::new(Mutex::new(Some(guard)));
    let answer = async move || {
        let guard = guard.lock().unwrap().take();
        let begun = stream::once(ready(Ok::<_, Infallible>(": begun\n\n")));
        let endless = begun.chain(stream::pending()).inspect(move |_| {
            let _ = &guard;
        });
        let headers = [
            ("x-switchboard-node", "a"),
            ("content-type", "text/event-stream"),
        ];
        (headers, Body::from_stream(endless))
    };
    nodes.serve(Router::new().fallback(answer)).await;
    let key = [("authorization", "Bearer secret-1")];
    let follow = request("GET", "/v1/responses/resp_1?stream=true", &key, "");
    let mut events = send(nodes.b.clone(), follow).await.into_body();
    let first = events.frame().await.unwrap().unwrap();
    assert_eq!(&first.data_ref().unwrap()[..], b": begun\n\n");
    drop(events);
    let ended = timeout(MAX_TEST_WAIT, ended).await;
    assert!(ended.unwrap().is_err(), "the answer is dropped there");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_work_is_followed_while_the_records_are_away() {
    let nodes = TwoNodes::start().await;
    let key = [("authorization", "Bearer secret-1")];
    let fields = json!({"model": "sonnet", "input": "Hi", "background": true});
    let create = request("POST", "/v1/responses", &key, fields.to_string());
    let created = body(send(nodes.b.clone(), create).await).await;
    let created: Value = serde_json::from_str(&created).unwrap();
    let id = created["id"].as_str().unwrap();
    nodes.backend.go_away();
    let path = format!("/v1/responses/{id}?stream=true");
    let followed = send(nodes.b.clone(), request("GET", &path, &key, "")).await;
    assert_eq!(followed.status(), StatusCode::OK);
    let others = request("GET", "/v1/responses/resp_1?stream=true", &key, "");
    let refused = send(nodes.b.clone(), others).await;
    assert!(refused.status().is_server_error(), "{}", refused.status());
}
