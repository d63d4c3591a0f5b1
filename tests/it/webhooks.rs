//! Webhooks of the real server, with receivers on the loopback interface.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use claude_switchboard::accounts::auth::{FieldChange, NewWebhook, ProjectChange, Registry};
use claude_switchboard::accounts::webhooks::{HttpSender, WebhookDeps, WebhookEvent, Webhooks};
use claude_switchboard::storage::store::{self, Store};
use claude_switchboard::telemetry::metrics::WebhookMetrics;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command_line::{CommandOutput, run_beside};
use crate::support::{TestServer, eventually, serve};

type Requests = mpsc::UnboundedReceiver<(HeaderMap, Value)>;

/// Starts a receiver that accepts every event and passes it to the returned channel.
pub(crate) async fn receiver() -> (SocketAddr, Requests) {
    let (sender, requests) = mpsc::unbounded_channel();
    let handler = async move |headers: HeaderMap, body: String| {
        sender
            .send((headers, serde_json::from_str(&body).unwrap()))
            .unwrap();
    };
    let router = Router::new().route("/hook", axum::routing::post(handler));
    (serve(router).await, requests)
}

/// Runs `projects COMMAND default` on a data directory.
fn run_projects_command(folder: &Path, command: &str, arguments: &[&str]) -> CommandOutput {
    let folder = folder.to_str().unwrap();
    let arguments = [
        &["projects", command, "default", "--data-dir", folder],
        arguments,
    ]
    .concat();
    run_beside(&arguments, &[])
}

fn run_webhook_command(folder: &Path, arguments: &[&str]) -> CommandOutput {
    run_projects_command(folder, "webhook", arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_commands_set_test_and_remove() {
    let (address, mut requests) = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{address}/hook?token=hidden");
    let set = run_webhook_command(folder.path(), &[&url]);
    assert!(
        set.code == Some(0) && set.stdout.contains(&url) && set.stdout.contains("whsec_"),
        "{set:?}"
    );
    let tried = run_webhook_command(folder.path(), &["--test"]);
    assert_eq!(tried.stdout, "The receiver answered with 200.\n");
    let (headers, event) = requests.recv().await.unwrap();
    assert_eq!(
        (&event["type"], &event["data"]),
        (&json!("webhook.test"), &json!({"project_id": "default"}))
    );
    assert_eq!(headers["webhook-id"].to_str().unwrap(), event["id"]);

    let server = TestServer::fake()
        .without("ANTHROPIC_API_KEY")
        .spawn_in(folder.path())
        .await;
    let tried = run_webhook_command(folder.path(), &["--test", "--json"]);
    let tried: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!(
        (&tried["delivered"], &tried["status"]),
        (&json!(true), &json!(200))
    );
    assert_eq!(requests.recv().await.unwrap().1["id"], tried["event_id"]);
    let removed = run_webhook_command(folder.path(), &["--remove"]);
    assert!(removed.stdout.ends_with("has no webhook.\n"), "{removed:?}");
    let refused = run_webhook_command(folder.path(), &["--test"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("has no webhook"),
        "{refused:?}"
    );
    for arguments in [
        &[][..],
        &["--test", "--remove"],
        &["http://a.example", "--test"],
    ] {
        assert_eq!(
            run_webhook_command(folder.path(), arguments).code,
            Some(2),
            "{arguments:?}"
        );
    }
    let log = server.log();
    assert!(!log.contains("hidden") && !log.contains("whsec_"), "{log}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undelivered_event_is_delivered_after_a_restart() {
    let (address, mut requests) = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let store = Store::open(
        &folder.path().join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let registry = Registry::open(store.clone()).await.unwrap();
    let url = format!("http://{address}/hook?token=hidden")
        .parse()
        .unwrap();
    let webhook = FieldChange::Set(NewWebhook { url, secret: None });
    registry
        .change_project(
            "default",
            ProjectChange {
                webhook,
                ..Default::default()
            },
        )
        .await
        .unwrap();
    let parts = WebhookDeps {
        store,
        endpoint_of: Box::new(move |project| registry.webhook(project)),
        sender: Arc::new(HttpSender::new(tracker.clone())),
        tracker: tracker.clone(),
        stop: stop.clone(),
        metrics: WebhookMetrics::default(),
        servers: None,
    };
    // Cancelled before the start, so that the event stays undelivered in the store.
    stop.cancel();
    let webhooks = Webhooks::open(parts).await.unwrap();
    let event = WebhookEvent::new("budget.threshold_reached", &json!({"percent": 80}));
    webhooks.send("default", event.clone()).await.unwrap();
    drop(webhooks);
    tracker.close();
    tracker.wait().await;
    assert!(requests.try_recv().is_err());

    let server = TestServer::fake()
        .without("ANTHROPIC_API_KEY")
        .spawn_in(folder.path())
        .await;
    let (headers, body) = requests.recv().await.unwrap();
    assert_eq!(headers["webhook-id"].to_str().unwrap(), event.id);
    assert_eq!(
        (&body["id"], &body["data"]),
        (&json!(event.id), &json!({"percent": 80}))
    );
    let log = eventually("a line of the log about the delivery", async || {
        Some(server.log()).filter(|log| log.contains("webhook event delivered"))
    });
    let log = log.await;
    assert!(
        log.contains("host=\"127.0.0.1\"") && !log.contains("hidden"),
        "{log}"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budget_thresholds_are_reported_by_webhook() {
    let (address, mut requests) = receiver().await;
    let server = TestServer::real().await.workers(1).spawn().await;
    let budget = run_projects_command(server.data_dir(), "budget", &["--daily-tokens", "2000"]);
    let set = run_webhook_command(server.data_dir(), &[&format!("http://{address}/hook")]);
    assert_eq!(
        (budget.code, set.code),
        (Some(0), Some(0)),
        "{budget:?} {set:?}"
    );
    let prompt = "[[say=Hello usage_in=1500 usage_out=100]]";
    let answer = server
        .chat(prompt)
        .with("max_tokens", json!(100))
        .send()
        .await;
    assert_eq!(answer.text(), "Hello");
    // Both events are sent concurrently, in either order.
    let mut events = [
        requests.recv().await.unwrap().1,
        requests.recv().await.unwrap().1,
    ];
    events.sort_by_key(|event| event["data"]["percent"].as_u64());
    for (mut event, percent) in events.into_iter().zip([50, 80]) {
        assert_eq!(event["type"], "budget.threshold_reached");
        event["data"]["since"].take();
        let expected = json!({
            "scope": "project", "key_id": null, "project_id": "default", "window": "daily", "since": null,
            "what": "tokens", "percent": percent, "cap": 2000, "spent": 1600,
        });
        assert_eq!(event["data"], expected);
    }
    server.end().await;
}
