//! `doctor`: a setup with and without a running server, and a server behind a proxy.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::command_line::{CommandOutput, run_beside};
use crate::support::TestServer;

/// Checks that pass where a server runs, with who makes them.
const PASSING: [(&str, &str); 8] = [
    ("cli", "command"),
    ("lock", "command"),
    ("address", "command"),
    ("server", "command"),
    ("cli", "server"),
    ("sign_in", "server"),
    ("store", "server"),
    ("readiness", "server"),
];

/// Runs `doctor --json` and returns its output with the report.
fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (CommandOutput, Value) {
    let line = [&["doctor", "--json"][..], arguments].concat();
    let output = run_beside(&line, variables);
    let report = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    (output, report)
}

/// Returns the check `name` that was made by `place`.
fn check<'a>(report: &'a Value, name: &str, place: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["name"] == name && check["where"] == place)
        .unwrap_or_else(|| panic!("no {name} of {place} in {report:#}"))
}

/// Proxy that sends a response once it has all of it, and passes no upgrade on.
async fn start_buffering_proxy(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = TaskTracker::new();
    let connections = tracker.clone();
    tracker.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(forward_whole(client, upstream));
        }
    });
    address
}

async fn forward_whole(mut client: TcpStream, upstream: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let is_passed = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("connection:") && !line.starts_with("upgrade:")
    };
    let lines = head.trim_end().split("\r\n").filter(is_passed);
    let lines: Vec<&str> = lines.collect();
    let request = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
    let mut server = TcpStream::connect(upstream).await.unwrap();
    server.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.unwrap();
    // A client that has left needs no answer.
    let _ = client.write_all(&answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_server_and_command_are_both_reported() {
    let server = TestServer::fake().spawn().await;
    server
        .wait_until("the server is ready", |ready| ready["status"] == "ready")
        .await;
    let listen = server.address.to_string();
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        (
            "SWITCHBOARD_CLAUDE__BINARY",
            env!("CARGO_BIN_EXE_fake-claude"),
        ),
        ("SWITCHBOARD_SERVER__LISTEN", listen.as_str()),
        (
            "SWITCHBOARD_SERVER__DATA_DIR",
            server.data_dir().to_str().unwrap(),
        ),
    ];
    let (output, report) = doctor(&[], &variables);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{report:#}"
    );
    assert_eq!(
        (&report["object"], &report["schema_version"]),
        (&json!("doctor"), &json!(1))
    );
    for (name, place) in PASSING {
        let found = check(&report, name, place);
        assert_eq!(found["status"], "pass", "{found:#}");
    }
    // The key is in the environment of the server alone.
    let sign_in = check(&report, "sign_in", "command");
    assert_eq!(sign_in["status"], "warn", "{sign_in:#}");
    assert!(!output.stdout.contains("sk-ant-made-up"));
    let only = doctor(&["--only", "sign_in", "--strict"], &variables);
    assert_eq!(only.0.code, Some(1));
    assert_eq!(only.1["checks"].as_array().unwrap().len(), 2);
    server.end().await;
}

#[test]
fn setup_without_a_sign_in_fails() {
    let home = tempfile::tempdir().unwrap();
    let variables = [
        ("HOME", home.path().to_str().unwrap()),
        ("SWITCHBOARD_SERVER__LISTEN", "127.0.0.1:0"),
    ];
    let (output, report) = doctor(&["--quick"], &variables);
    assert_eq!(output.code, Some(1));
    assert_eq!(report["status"], "fail");
    let sign_in = check(&report, "sign_in", "command");
    assert_eq!(sign_in["status"], "fail");
    assert!(
        sign_in["hint"]
            .as_str()
            .unwrap()
            .contains("ANTHROPIC_API_KEY")
    );
    let created = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(created, 0, "quick checks change nothing");
}

#[test]
fn refused_configuration_is_reported_with_the_nearest_name() {
    let variables = [("SWITCHBOARD_POOL__MAX_WORKER", "2")];
    let (output, report) = doctor(&[], &variables);
    assert_eq!((output.code, output.stderr.as_str()), (Some(64), ""));
    let configuration = check(&report, "configuration", "command");
    assert_eq!(configuration["status"], "fail");
    assert_eq!(
        configuration["hint"],
        "did you mean SWITCHBOARD_POOL__MAX_WORKERS?"
    );
    assert_eq!(report["checks"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_buffers_streams_and_drops_upgrades_is_found() {
    let server = TestServer::fake().start().await;
    server
        .wait_until("a worker is ready", |stats| stats.idle > 0)
        .await;
    let direct = format!("http://{}", server.address);
    let (output, report) = doctor(&["--live", &direct], &[]);
    assert_eq!(output.code, Some(0), "{report:#}");
    assert_eq!(report["checks"].as_array().unwrap().len(), 7);
    let stream = check(&report, "event_stream", "command");
    assert_eq!(stream["status"], "pass", "{stream:#}");

    let proxy = start_buffering_proxy(server.address).await;
    let (output, report) = doctor(&["--live", &format!("http://{proxy}")], &[]);
    assert_eq!(output.code, Some(1), "{report:#}");
    for (name, hint) in [
        ("event_stream", "proxy_buffering off;"),
        ("websocket", "proxy_set_header Upgrade"),
    ] {
        let found = check(&report, name, "command");
        assert_eq!(found["status"], "fail", "{found:#}");
        assert!(found["hint"].as_str().unwrap().contains(hint), "{found:#}");
    }
    for name in ["health", "request_id", "version"] {
        let found = check(&report, name, "command");
        assert_eq!(found["status"], "pass", "{found:#}");
    }
    server.end().await;
}
