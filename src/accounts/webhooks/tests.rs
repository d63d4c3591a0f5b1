//! Delivery to a scripted receiver. With paused time, only a single delivery is under way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pending::PendingEvent;
use super::receiver_queue::MAX_PENDING;
use super::*;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::Transaction;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Scripted answer of a receiver.
#[derive(Debug, Clone)]
enum Answer {
    Status(u16),
    Fail,
    Hang,
}
use Answer::Fail;
use Answer::Hang;
use Answer::Status;

type Arrivals = mpsc::UnboundedReceiver<(Instant, SignedRequest)>;

/// Receivers by host: each answers as scripted, and repeats its last answer.
#[derive(Debug)]
struct Receivers {
    scripts: Mutex<Vec<(&'static str, Vec<Answer>)>>,
    arrivals: mpsc::UnboundedSender<(Instant, SignedRequest)>,
}

impl WebhookSender for Receivers {
    fn send(&self, request: SignedRequest) -> BoxFuture<'_, Result<u16, SendError>> {
        let mut scripts = self.scripts.lock().unwrap();
        let (_, script) = scripts
            .iter_mut()
            .find(|(host, _)| *host == request.url.host())
            .unwrap();
        let answer = if script.len() > 1 {
            script.remove(0)
        } else {
            script[0].clone()
        };
        self.arrivals.send((Instant::now(), request)).unwrap();
        async move {
            match answer {
                Status(status) => Ok(status),
                Fail => Err(SendError::Unreachable("connection refused".to_owned())),
                Hang => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// A server of a cluster, with the numbers of the servers that are running.
#[derive(Debug)]
struct NumberedServer {
    number: u64,
    running: Arc<Mutex<HashSet<u64>>>,
}

impl SharingServers for NumberedServer {
    fn own_number(&self) -> u64 {
        self.number
    }

    fn running_numbers(&self, _: &Transaction<'_>) -> Result<HashSet<u64>, store::Error> {
        Ok(self.running.lock().unwrap().clone())
    }
}

/// Webhooks of a server, from its start to its stop.
struct Start {
    webhooks: Webhooks,
    arrivals: Arrivals,
    store: Store,
    tracker: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
    /// Owners without a receiver; the host of every other owner is its name.
    closed: Arc<Mutex<Vec<String>>>,
}

fn endpoint(owner: &str) -> WebhookEndpoint {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    WebhookEndpoint {
        url: format!("https://{owner}/hook").parse().unwrap(),
        secret,
    }
}

impl Start {
    async fn first(scripts: &[(&'static str, &[Answer])]) -> Self {
        Self::on(Store::in_memory(TaskTracker::new()), scripts).await
    }

    async fn on(store: Store, scripts: &[(&'static str, &[Answer])]) -> Self {
        Self::among(None, store, scripts).await
    }

    /// Start of the server `number` of those that share `store`.
    async fn of_server(
        number: u64,
        running: &Arc<Mutex<HashSet<u64>>>,
        store: Store,
        scripts: &[(&'static str, &[Answer])],
    ) -> Self {
        running.lock().unwrap().insert(number);
        let server = NumberedServer {
            number,
            running: Arc::clone(running),
        };
        Self::among(Some(Arc::new(server)), store, scripts).await
    }

    async fn among(
        servers: Option<Arc<dyn SharingServers>>,
        store: Store,
        scripts: &[(&'static str, &[Answer])],
    ) -> Self {
        let scripts = scripts
            .iter()
            .map(|(host, script)| (*host, script.to_vec()))
            .collect();
        let (sender, arrivals) = mpsc::unbounded_channel();
        let tracker = TaskTracker::new();
        let stop = CancellationToken::new();
        let closed = Arc::default();
        let gone: Arc<Mutex<Vec<String>>> = Arc::clone(&closed);
        let metrics = Metrics::new();
        let parts = WebhookDeps {
            store: store.clone(),
            endpoint_of: Box::new(move |owner| {
                (!gone.lock().unwrap().contains(&owner.to_owned())).then(|| endpoint(owner))
            }),
            sender: Arc::new(Receivers {
                scripts: Mutex::new(scripts),
                arrivals: sender,
            }),
            tracker: tracker.clone(),
            stop: stop.clone(),
            metrics: metrics.webhooks.clone(),
            servers,
        };
        let webhooks = Webhooks::open(parts).await.unwrap();
        Self {
            webhooks,
            arrivals,
            store,
            tracker,
            stop,
            metrics,
            closed,
        }
    }

    async fn send(&self, owner: &str) -> WebhookEvent {
        let event = WebhookEvent::new("webhook.test", &json!({"for": owner}));
        self.webhooks.send(owner, event.clone()).await.unwrap();
        event
    }

    async fn arrival(&mut self) -> (Instant, SignedRequest) {
        self.arrivals.recv().await.unwrap()
    }

    /// Waits until every event is delivered or given up.
    async fn settle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Events on disk, once all queued writes are done.
    async fn pending(&self) -> Vec<PendingEvent> {
        self.store
            .transaction(|_| Ok::<_, crate::storage::store::Error>(()))
            .await
            .unwrap();
        pending::load_pending(&self.store).await.unwrap().0
    }
}

#[tokio::test(start_paused = true)]
async fn failed_delivery_is_retried_until_it_succeeds() {
    let answers = [
        Status(500),
        Status(302),
        Fail,
        Hang,
        Status(429),
        Status(204),
    ];
    let mut start = Start::first(&[("a", &answers)]).await;
    let begun = Instant::now();
    let event = start.send("a").await;
    let mut last = begun;
    // The hanging receiver adds the ten seconds of the timeout.
    for pause in [0, 5, 30, 120, 10 + 600, 3600] {
        let (at, request) = start.arrival().await;
        let passed = (at - last).as_secs_f64();
        let range = f64::from(pause)..=f64::from(pause) * 1.2 + 0.01;
        assert!(range.contains(&passed), "{passed} s, not {range:?}");
        last = at;
        let SignedRequest {
            url,
            id,
            timestamp,
            signature,
            body,
        } = request;
        assert_eq!((url.host(), &id, &body), ("a", &event.id, &event.body));
        assert_eq!(signature, endpoint("a").secret.sign(&id, timestamp, &body));
    }
    start.settle().await;
    assert!(start.arrivals.try_recv().is_err() && start.pending().await.is_empty());
    assert_series(
        &start.metrics,
        &[
            r#"switchboard_webhook_deliveries_total{end="delivered"} 1"#,
            "switchboard_webhook_retries_total 5",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn undeliverable_event_is_given_up() {
    for (script, tries, end) in [
        (&[Fail][..], 7, "given_up"),
        (&[Status(503), Status(410)], 2, "unwanted"),
        (&[Status(404)], 7, "given_up"),
    ] {
        let mut start = Start::first(&[("a", script)]).await;
        start.send("a").await;
        start.settle().await;
        let arrivals = std::iter::from_fn(|| start.arrivals.try_recv().ok()).count();
        assert_eq!(
            (arrivals, start.pending().await.len()),
            (tries, 0),
            "{script:?}"
        );
        let delivery = format!(r#"switchboard_webhook_deliveries_total{{end="{end}"}} 1"#);
        let retries = format!("switchboard_webhook_retries_total {}", tries - 1);
        assert_series(&start.metrics, &[&delivery, &retries]);
    }
}

#[tokio::test(start_paused = true)]
async fn removed_webhook_gets_no_more_events() {
    let mut start = Start::first(&[("a", &[Status(500)])]).await;
    start.send("a").await;
    start.arrival().await;
    start.closed.lock().unwrap().push("a".to_owned());
    start.settle().await;
    start.send("a").await;
    assert!(start.arrivals.try_recv().is_err() && start.pending().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pending_event_survives_restart() {
    let mut start = Start::first(&[("a", &[Status(500)])]).await;
    let event = start.send("a").await;
    for _ in 0..3 {
        start.arrival().await;
    }
    start.stop.cancel();
    start.settle().await;
    let expected = PendingEvent {
        owner: "a".to_owned(),
        event: event.clone(),
        endpoint: None,
        tries: 3,
        server: None,
    };
    assert_eq!(start.pending().await, [expected]);

    let mut again = Start::on(
        start.store.clone(),
        &[("a", &[Status(500), Status(500), Status(200)])],
    )
    .await;
    let mut last = Instant::now();
    for pause in [0, 600, 3600] {
        let (at, request) = again.arrival().await;
        assert_eq!((&request.id, &request.body), (&event.id, &event.body));
        assert!(
            (at - last).as_secs() >= pause,
            "a try that failed before counts"
        );
        last = at;
    }
    again.settle().await;
    assert!(again.pending().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn event_with_own_receiver_is_sent_there() {
    let mut start = Start::first(&[("own", &[Status(500)])]).await;
    start.closed.lock().unwrap().push("a".to_owned());
    let event = WebhookEvent::new("task.completed", &json!({}));
    start
        .webhooks
        .send_to("a", endpoint("own"), event.clone())
        .await
        .unwrap();
    assert_eq!(start.arrival().await.1.url.host(), "own");
    start.stop.cancel();
    start.settle().await;
    let mut again = Start::on(start.store.clone(), &[("own", &[Status(200)])]).await;
    again.closed.lock().unwrap().push("a".to_owned());
    let (_, request) = again.arrival().await;
    assert_eq!((request.url.host(), &request.id), ("own", &event.id));
    again.settle().await;
    assert!(again.pending().await.is_empty());
}

#[tokio::test]
async fn dead_receiver_does_not_block_others() {
    let mut start = Start::first(&[("dead", &[Hang]), ("alive", &[Status(200)])]).await;
    for _ in 0..10 {
        start.send("dead").await;
    }
    let event = start.send("alive").await;
    let mut hosts = Vec::new();
    loop {
        let (_, request) = start.arrival().await;
        hosts.push(request.url.host().to_owned());
        if request.id == event.id {
            break;
        }
    }
    assert!(
        hosts.len() <= 5,
        "four at once for each receiver: {hosts:?}"
    );
    // Shutdown does not wait for it.
    start.stop.cancel();
    start.settle().await;
    assert_eq!(start.pending().await.len(), 10);
}

#[tokio::test]
async fn full_queue_refuses_events() {
    let start = Start::first(&[("dead", &[Hang]), ("alive", &[Hang])]).await;
    for _ in 0..MAX_PENDING {
        start.send("dead").await;
    }
    let event = WebhookEvent::new("webhook.test", &json!({}));
    let refused = start.webhooks.send("dead", event.clone()).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    start.webhooks.send("alive", event).await.unwrap();
    assert_eq!(start.pending().await.len(), MAX_PENDING + 1);
    start.stop.cancel();
}

#[tokio::test]
async fn event_of_a_running_server_is_sent_by_that_alone() {
    let running = Arc::default();
    let store = Store::in_memory(TaskTracker::new());
    let mut first = Start::of_server(1, &running, store.clone(), &[("a", &[Hang])]).await;
    let event = first.send("a").await;
    first.arrival().await;
    let mut second = Start::of_server(2, &running, store.clone(), &[("a", &[Status(200)])]).await;
    assert_eq!(second.webhooks.take_over().await.unwrap(), 0);
    assert!(second.tracker.is_empty() && second.arrivals.try_recv().is_err());
    assert_eq!(second.pending().await[0].server, Some(1));

    // The first server is gone, and one of the others sends its event, once.
    first.stop.cancel();
    first.settle().await;
    running.lock().unwrap().remove(&1);
    assert_eq!(second.webhooks.take_over().await.unwrap(), 1);
    let third = Start::of_server(3, &running, store, &[("a", &[Status(200)])]).await;
    assert!(third.tracker.is_empty());
    assert_eq!(second.arrival().await.1.id, event.id);
    second.settle().await;
    assert!(second.pending().await.is_empty());
}

#[tokio::test]
async fn event_that_names_no_server_is_sent_at_a_start_alone() {
    let running = Arc::default();
    let store = Store::in_memory(TaskTracker::new());
    let second = Start::of_server(2, &running, store.clone(), &[("a", &[Status(200)])]).await;
    let mut earlier = Start::on(store.clone(), &[("a", &[Hang])]).await;
    let event = earlier.send("a").await;
    earlier.arrival().await;
    assert_eq!(second.webhooks.take_over().await.unwrap(), 0);
    earlier.stop.cancel();
    earlier.settle().await;
    let mut third = Start::of_server(3, &running, store, &[("a", &[Status(200)])]).await;
    assert_eq!(third.arrival().await.1.id, event.id);
    third.settle().await;
    assert!(third.pending().await.is_empty());
}
