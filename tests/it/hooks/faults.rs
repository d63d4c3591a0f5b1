//! Hooks that are slow, silent, wrong, too large, broken off or restarted.

use std::path::Path;

use serde_json::json;

use super::setup::{HookReply, HookServer, start};
use crate::support::{TestServer, eventually};

const UNAVAILABLE: &str = "503 server_error hook_unavailable";
/// Failures in a row after which the circuit breaker opens.
const FAILURES: usize = 5;

fn config(hook: &HookServer, on_failure: &str, timeout_ms: u64) -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "judge"
        kind = "http"
        url = "{}"
        points = ["before"]
        timeout_ms = {timeout_ms}
        on_failure = "{on_failure}"
        "#,
        hook.url
    )
}

fn pass() -> HookReply {
    HookReply::Action(json!({"action": "pass"}))
}

/// Replies that are failures of the hook, with their names.
fn faulty_replies() -> Vec<(&'static str, HookReply)> {
    let text = |text: &str| HookReply::Raw(200, text.as_bytes().to_vec());
    let mut large = vec![b' '; 9 << 20];
    large.extend_from_slice(br#"{"action":"pass"}"#);
    vec![
        ("silent", HookReply::Silence),
        ("slow", HookReply::Stalled),
        ("cut", HookReply::Cut),
        ("garbage", text("no JSON")),
        ("no action", text("{}")),
        ("unknown action", text(r#"{"action":"explode"}"#)),
        (
            "replacement without a grant",
            text(r#"{"action":"replace","messages":[]}"#),
        ),
        (
            "status",
            HookReply::Raw(500, br#"{"action":"pass"}"#.to_vec()),
        ),
        ("large", HookReply::Raw(200, large)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_hook_that_must_not_fail_refuses_requests_until_it_recovers() {
    let hook = HookServer::passing().await;
    let server = start(TestServer::fake(), &config(&hook, "refuse", 2_000)).await;
    for (name, reply) in faulty_replies() {
        hook.set_reply(reply);
        let refused = server.chat("[[tokens=1]]").send().await;
        assert_eq!(refused.error(), UNAVAILABLE, "{name}: {}", refused.body);
        // A success between the faults keeps the circuit breaker closed.
        hook.set_reply(pass());
        let answer = server.chat("[[tokens=1]]").send().await;
        assert_eq!(answer.text(), "w0 ", "{name}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_hook_that_may_fail_lets_requests_pass() {
    let hook = HookServer::passing().await;
    let server = start(TestServer::fake(), &config(&hook, "pass", 2_000)).await;
    for (name, reply) in faulty_replies() {
        hook.set_reply(reply);
        let answer = server.chat("[[tokens=1]]").send().await;
        assert_eq!(answer.text(), "w0 ", "{name}");
        let ran = answer.headers["x-switchboard-hooks"].to_str().unwrap();
        assert_eq!(ran, "judge; point=before; verdict=failed_open", "{name}");
        hook.set_reply(pass());
        server.chat("[[tokens=1]]").send().await.text();
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_circuit_breaker_refuses_without_asking_the_hook() {
    let hook = HookServer::replying(HookReply::Raw(500, Vec::new())).await;
    let server = start(TestServer::fake(), &config(&hook, "refuse", 10_000)).await;
    for _ in 0..FAILURES + 3 {
        let refused = server.chat("[[tokens=1]]").send().await;
        assert_eq!(refused.error(), UNAVAILABLE);
    }
    assert_eq!(hook.asked().len(), FAILURES);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hook_at_errors_is_notified_of_requests_for_unknown_paths() {
    let hook = HookServer::passing().await;
    let config = config(&hook, "pass", 10_000).replace("\"before\"", "\"error\"");
    let server = start(TestServer::fake(), &config).await;
    assert_eq!(server.get("/v1/nothing").await.0, 404);
    let told = hook.take(1).await;
    assert_eq!(
        (&told[0]["op"], &told[0]["surface"]),
        (&json!("notify"), &json!(""))
    );
    assert_eq!(told[0]["error"]["code"], "unknown_url");
    server.end().await;
}

/// Writes a program that answers one line and exits; each start adds a line to the file `starts`.
fn write_short_lived_program(folder: &Path) -> String {
    let starts = folder.join("starts");
    let script = format!(
        "echo $$ >>'{}'\n\
         IFS= read -r line || exit 0\n\
         id=${{line#*'\"id\":'}}\n\
         printf '{{\"id\":%s,\"action\":\"pass\"}}\\n' \"${{id%%[,\\}}]*}}\"\n",
        starts.display()
    );
    let path = folder.join("once.sh");
    std::fs::write(&path, script).unwrap();
    path.display().to_string()
}

async fn wait_for_starts(folder: &Path, count: usize) {
    let what = format!("the program starts {count} times");
    eventually(&what, async || {
        let starts = std::fs::read_to_string(folder.join("starts")).unwrap_or_default();
        (starts.lines().count() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn program_that_exits_after_each_answer_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
        [[hooks.list]]
        name = "once"
        kind = "program"
        command = ["sh", "{}"]
        points = ["before"]
        timeout_ms = 10000
        "#,
        write_short_lived_program(folder.path())
    );
    let server = start(TestServer::fake(), &config).await;
    for start in 1..=3 {
        wait_for_starts(folder.path(), start).await;
        let answer = server.chat("[[tokens=1]]").send().await;
        assert_eq!(answer.text(), "w0 ", "start {start}");
    }
    server.end().await;
}
