//! `dashboard`: a link to a running server that signs in.

use std::path::Path;

use serde_json::{Value, json};

use crate::command_line::{CommandOutput, run_beside};
use crate::support::{ServerProcess, TestServer};

const ADMIN: &str = "made-up-admin-key";

/// Runs `dashboard` with further arguments on a data directory.
fn dashboard(data_dir: &Path, arguments: &[&str]) -> CommandOutput {
    let data_dir = data_dir.to_str().unwrap();
    let all = [&["dashboard"][..], arguments, &["--data-dir", data_dir]].concat();
    run_beside(&all, &[])
}

/// Sends a request as the page does, and returns the whole head of the answer with its body.
async fn send(server: &ServerProcess, request: &str, body: &Value) -> String {
    let address = server.address;
    let body = body.to_string();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nx-switchboard-dashboard: 1\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let mut client = server.connect().await;
    client.write(text.as_bytes()).await;
    client.read_until("\r\n\r\n").await
}

#[tokio::test(flavor = "multi_thread")]
async fn link_of_the_command_signs_in_to_the_running_server() {
    let server = TestServer::fake().set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    let server = server.spawn().await;
    let output = dashboard(server.data_dir(), &["--read-only", "--json"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let link: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(link["read_only"], true);
    let url = link["url"].as_str().unwrap();
    let (page, code) = url.split_once("#enter=").unwrap();
    assert_eq!(page, format!("http://{}/dashboard/", server.address));
    let shown = send(&server, "GET /dashboard/", &json!(null)).await;
    assert!(shown.starts_with("HTTP/1.1 200 OK\r\n"), "{shown}");
    let proof = json!({"code": code});
    let signed_in = send(&server, "POST /dashboard/api/session", &proof).await;
    assert!(
        signed_in.contains("set-cookie: switchboard-dashboard="),
        "{signed_in}"
    );
    let again = send(&server, "POST /dashboard/api/session", &proof).await;
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");
    let listed = dashboard(server.data_dir(), &["sessions"]);
    assert!(listed.stdout.contains("read_only"), "{}", listed.stdout);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn command_without_a_dashboard_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = dashboard(folder.path(), &[]);
    assert_eq!(missing.code, Some(1));
    let reason = "error: No server runs on this data directory";
    assert!(missing.stderr.starts_with(reason), "{}", missing.stderr);
    let hint = "\nhint: start one with `claude-switchboard serve`";
    assert!(missing.stderr.contains(hint), "{}", missing.stderr);
    let server = TestServer::fake().spawn().await;
    let off = dashboard(server.data_dir(), &[]);
    assert_eq!(off.code, Some(1));
    let reason = "error: The dashboard is off, because this server has no admin key.";
    assert!(off.stderr.starts_with(reason), "{}", off.stderr);
    let hint = "\nhint: set SWITCHBOARD_ADMIN_KEY";
    assert!(off.stderr.contains(hint), "{}", off.stderr);
    server.end().await;
}
