//! `tasks run`: agents that are followed from the command line, with the real CLI.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command_line::{CommandOutput, run_beside};
use crate::support::{TerminalSession, TestServer};
use crate::tasks::{self, TaskClient, endless_command, tool_directive, wait_for_file};

const KEY: &str = "SWITCHBOARD_API_KEY";

/// Server with tasks, a client with a key for them, and their folder.
async fn start() -> (TestServer, TaskClient, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = tasks::server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    (server, client, folder)
}

/// Runs a task to its end without a terminal.
fn run_task(
    server: &TestServer,
    client: &TaskClient,
    prompt: &str,
    options: &[&str],
) -> CommandOutput {
    let key = &*client.key;
    let work = &*client.work;
    let url = server.url("");
    let line = ["tasks", "run", prompt, "--workspace", work, "--url", &url];
    run_beside(&[&line[..], options].concat(), &[(KEY, key)])
}

/// Prompt that makes the agent create the file `made`.
fn touch() -> String {
    tool_directive("Bash", &json!({"command": "touch made"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_request_is_answered_on_the_terminal() {
    let (server, client, _folder) = start().await;
    let key = &*client.key;
    let work = &*client.work;
    let url = server.url("");
    let prompt = touch();
    let line = ["tasks", "run", &prompt, "--workspace", work, "--url", &url];
    let mut terminal = TerminalSession::start(&line, &[(KEY, key)]);
    terminal.until_shown("command: touch made", 1).await;
    terminal.until_shown("Allow it? [y, n, or always]", 1).await;
    assert!(!Path::new(work).join("made").exists());
    terminal.type_line("perhaps");
    terminal.until_shown("Allow it? [y, n, or always]", 2).await;
    terminal.type_line("y");
    terminal.until_shown("[completed, ", 1).await;
    assert_eq!(terminal.exit_code().await, Some(0));
    let screen = terminal.screen();
    assert!(screen.contains("> Bash touch made"), "{screen}");
    assert!(Path::new(work).join("made").exists(), "{screen}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unattended_task_is_denied_what_was_not_allowed() {
    let (server, client, _folder) = start().await;
    let made = Path::new(&client.work).join("made");
    let denied = run_task(&server, &client, &touch(), &[]);
    assert_eq!(denied.code, Some(0), "{}", denied.stderr);
    assert!(
        denied.stderr.contains("--allow Bash gives it"),
        "{}",
        denied.stderr
    );
    assert!(!made.exists());

    let allowed = run_task(&server, &client, &touch(), &["--allow", "Bash"]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    assert!(made.exists());
    assert!(
        allowed.stdout.starts_with("Tool results:"),
        "{}",
        allowed.stdout
    );
    assert!(
        allowed.stderr.contains("[completed, ") && allowed.stderr.contains(", $"),
        "{}",
        allowed.stderr
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_has_each_event_and_the_task() {
    let (server, client, _folder) = start().await;
    let options = ["--json", "--preset", "read_only", "--max-cost", "0.5"];
    let output = run_task(&server, &client, "[[say=\"Done.\"]]", &options);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{}",
        output.stdout
    );
    let lines: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (task, events) = lines.split_last().unwrap();
    assert_eq!(
        (&task["object"], &task["result"], &task["max_budget_usd"]),
        (&json!("task"), &json!("Done."), &json!(0.5))
    );
    assert_eq!(events.last().unwrap()["type"], "complete");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_task_ends_with_the_exit_code_of_a_signal() {
    let (server, client, _folder) = start().await;
    let key = &*client.key;
    let work = &*client.work;
    let url = server.url("");
    let prompt = endless_command();
    let line = [
        "tasks",
        "run",
        &prompt,
        "--workspace",
        work,
        "--allow",
        "Bash",
        "--url",
        &url,
    ];
    let mut terminal = TerminalSession::start(&line, &[(KEY, key)]);
    wait_for_file(&Path::new(work).join("begun")).await;
    terminal.signal(Signal::INT);
    terminal.until_shown("[interrupted, ", 1).await;
    assert_eq!(terminal.exit_code().await, Some(130));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_without_the_permission_is_told_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = tasks::server(&folder).await.start().await;
    let terms = json!({"permissions": ["inference"]});
    let client = TaskClient::new(server.url(""), &folder, terms).await;
    let refused = run_task(&server, &client, "hi", &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused
            .stderr
            .contains("\nhint: name a key that may do this"),
        "{}",
        refused.stderr
    );
    server.end().await;
}
