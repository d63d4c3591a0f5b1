//! Webhooks of the real server, with receivers on loopback.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::command_line::{Ran, run};
use crate::support::TestServer;

type Requests = mpsc::UnboundedReceiver<(HeaderMap, Value)>;

/// A receiver that takes everything.
async fn receiver() -> (SocketAddr, Requests) {
    let (sender, requests) = mpsc::unbounded_channel();
    let handler = async move |headers: HeaderMap, body: String| {
        sender.send((headers, serde_json::from_str(&body).unwrap())).unwrap();
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/hook", axum::routing::post(handler));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    (address, requests)
}

/// Runs `projects webhook default` on a data directory.
async fn webhook(folder: &Path, arguments: &[&str]) -> Ran {
    let folder = folder.to_str().unwrap().to_owned();
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let command = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&[&["projects", "webhook", "default", "--data-dir", &folder], &arguments[..]].concat(), &[])
    };
    tokio::task::spawn_blocking(command).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_set_tried_out_and_taken_away_by_commands() {
    let (address, mut requests) = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{address}/hook?token=hidden");
    let set = webhook(folder.path(), &[&url]).await;
    assert!(set.code == Some(0) && set.stdout.contains(&url) && set.stdout.contains("whsec_"), "{set:?}");
    let tried = webhook(folder.path(), &["--test"]).await;
    assert_eq!(tried.stdout, "The receiver answered with 200.\n");
    let (headers, event) = requests.recv().await.unwrap();
    assert_eq!((&event["type"], &event["data"]), (&json!("webhook.test"), &json!({"project_id": "default"})));
    assert_eq!(headers["webhook-id"].to_str().unwrap(), event["id"]);

    let server = TestServer::fake().without("ANTHROPIC_API_KEY").spawn_in(folder.path()).await;
    let tried = webhook(folder.path(), &["--test", "--json"]).await;
    let tried: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!((&tried["delivered"], &tried["status"]), (&json!(true), &json!(200)));
    assert_eq!(requests.recv().await.unwrap().1["id"], tried["event_id"]);
    let removed = webhook(folder.path(), &["--remove"]).await;
    assert!(removed.stdout.ends_with("has no webhook.\n"), "{removed:?}");
    let refused = webhook(folder.path(), &["--test"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("has no webhook"), "{refused:?}");
    for arguments in [&[][..], &["--test", "--remove"], &["http://a.example", "--test"]] {
        assert_eq!(webhook(folder.path(), arguments).await.code, Some(2), "{arguments:?}");
    }
    let log = server.log();
    assert!(!log.contains("hidden") && !log.contains("whsec_"), "{log}");
    server.end().await;
}
