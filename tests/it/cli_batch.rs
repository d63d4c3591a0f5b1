//! `batch`: a file of requests from its check to its results.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command_line::{CommandOutput, run_beside};
use crate::support::{TerminalSession, TestServer};

/// Runs `batch` with these arguments against the server.
fn run_batch(server: &TestServer, arguments: &[&str]) -> CommandOutput {
    let url = server.url("");
    let line = [&["batch", "--url", &url][..], arguments].concat();
    run_beside(&line, &[])
}

fn request_line(id: &str, model: &str) -> String {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "[[tokens=2]]"}]});
    let line =
        json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body});
    format!("{line}\n")
}

/// Writes a file of requests, one for each model, and returns its path.
fn write_requests(folder: &Path, models: &[&str]) -> String {
    let file = folder.join("requests.jsonl");
    let lines: String = models
        .iter()
        .enumerate()
        .map(|(index, model)| request_line(&format!("r{index}"), model))
        .collect();
    fs::write(&file, lines).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Returns the ids of the results in a file.
fn ids_in(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| {
            let result: Value = serde_json::from_str(line).unwrap();
            result["custom_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_is_run_to_its_end_and_its_results_are_fetched() {
    let server = TestServer::fake().start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write_requests(folder.path(), &["haiku", "gemini-9", "haiku"]);
    let ended = run_batch(&server, &[&file]);
    assert_eq!(ended.code, Some(1), "one failed: {}", ended.stderr);
    assert!(
        ended
            .stdout
            .contains(": completed, 2 of 3 answered, 1 failed"),
        "{}",
        ended.stdout
    );
    let output = folder.path().join("requests.output.jsonl");
    let errors = folder.path().join("requests.errors.jsonl");
    assert_eq!(ids_in(&output), ["r0", "r2"]);
    assert_eq!(ids_in(&errors), ["r1"]);

    let again = run_batch(&server, &[&file]);
    assert_eq!(again.code, Some(1));
    assert!(
        again
            .stderr
            .contains("requests.output.jsonl is there already"),
        "{}",
        again.stderr
    );

    let (id, _) = ended.stdout.split_once(':').unwrap();
    let other = folder.path().join("other.jsonl");
    let errors = folder.path().join("other-errors.jsonl");
    let resumed = run_batch(
        &server,
        &[
            "--resume",
            id,
            "--output",
            other.to_str().unwrap(),
            "--errors",
            errors.to_str().unwrap(),
            "--json",
        ],
    );
    assert_eq!((resumed.code, resumed.stderr.as_str()), (Some(1), ""));
    let batch: Value = serde_json::from_str(&resumed.stdout).unwrap();
    assert_eq!(batch["request_counts"]["completed"], 2);
    assert_eq!(ids_in(&other), ["r0", "r2"]);

    let cancelled = run_batch(&server, &["--cancel", id]);
    assert_eq!(cancelled.code, Some(1));
    assert!(
        cancelled.stderr.contains("cannot be cancelled"),
        "{}",
        cancelled.stderr
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_whose_requests_are_all_answered_ends_with_0() {
    let server = TestServer::fake().start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write_requests(folder.path(), &["haiku", "haiku"]);
    let ended = run_batch(&server, &[&file, "--no-progress"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("2 of 2 answered") && !ended.stdout.contains("errors:"),
        "{}",
        ended.stdout
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_batch_goes_on_until_it_is_cancelled() {
    let server = TestServer::fake().start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    let line = request_line("r0", "haiku").replace("tokens=2", "tokens=5000 gap_ms=100");
    fs::write(&file, line).unwrap();
    let url = server.url("");
    let line = ["batch", file.to_str().unwrap(), "--url", &url];
    let mut terminal = TerminalSession::start(&line, &[]);
    terminal.until_shown(" has 1 request]", 1).await;
    terminal.signal(Signal::INT);
    terminal.until_shown("batch --resume ", 1).await;
    assert_eq!(terminal.exit_code().await, Some(130));
    let screen = terminal.screen();
    let (_, rest) = screen.split_once("batch --resume ").unwrap();
    let id = rest.split_whitespace().next().unwrap();

    let cancelled = run_batch(&server, &["--cancel", id]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    let output = folder.path().join("output");
    let errors = folder.path().join("errors");
    let files = [output.to_str().unwrap(), errors.to_str().unwrap()];
    let options = ["--resume", id, "--output", files[0], "--errors", files[1]];
    let resumed = run_batch(&server, &options);
    assert_eq!(resumed.code, Some(1), "{}", resumed.stderr);
    assert!(
        resumed.stdout.contains(": cancelled, 0 of 1 answered"),
        "{}",
        resumed.stdout
    );
    assert!(!output.exists());
    assert_eq!(ids_in(&errors), ["r0"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_file_is_refused_before_it_is_sent() {
    let server = TestServer::fake().start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    let twice = request_line("r0", "haiku");
    fs::write(&file, format!("{twice}{twice}nothing\n")).unwrap();
    let refused = run_batch(&server, &[file.to_str().unwrap()]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    for line in [
        "  line 2: Another line before has the same `custom_id`.",
        "  line 3: This line is no JSON object.",
        "hint: mend these lines",
    ] {
        assert!(refused.stderr.contains(line), "{}", refused.stderr);
    }
    let files = server.http.get(server.url("/v1/files")).send().await;
    let files: Value = files.unwrap().json().await.unwrap();
    assert_eq!(files["data"], json!([]));
    server.end().await;
}
