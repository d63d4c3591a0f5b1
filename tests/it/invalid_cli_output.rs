//! Invalid output of a worker costs little memory and does not affect other requests.

use futures::future::join_all;

use crate::support::{ServerProcess, TestServer};

const LINE_LIMIT: u64 = 4 << 20;

async fn start(folder: &tempfile::TempDir) -> ServerProcess {
    let server = TestServer::fake()
        .workers(3)
        .set("SWITCHBOARD_CLAUDE__MAX_LINE_BYTES", LINE_LIMIT);
    let server = server.set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 1);
    server.spawn_in(folder.path()).await
}

/// Sends `prompt` while two other requests run, from before its start until after its end, and
/// returns its outcome.
async fn outcome_beside_others(server: &ServerProcess, prompt: &str) -> String {
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = server.chat("[[tokens=200 gap_ms=10]]").stream().await;
        assert_eq!(other.next_text().await, "w0 ");
        others.push(other);
    }
    let outcome = server.chat(prompt).streamed_outcome().await;
    for other in join_all(others.into_iter().map(crate::support::Events::rest)).await {
        let texts = other
            .iter()
            .filter(|event| event.contains(r#""content":"w"#))
            .count();
        assert_eq!(
            (texts, other.last().unwrap().as_str()),
            (199, "[DONE]"),
            "beside {prompt}"
        );
    }
    outcome
}

/// Text in the faulty line is lost; text before and after it is not.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_lines_are_skipped_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder).await;
    outcome_beside_others(&server, "[[tokens=5]]").await;
    let before = server.peak_memory();
    for (prompt, expected) in [
        ("[[bad_json_at=2]]", "w0 w1 w2 w3 w4 | stop"),
        ("[[line_bytes=64M]]", "w0 w1 w2 w3 w4 | stop"),
        ("[[no_newline=64M]]", "w0 | server_error timeout"),
        ("[[invalid_utf8]]", "w0 w1 w2 w3 w4 | stop"),
        ("[[nul_bytes]]", "w0 w1 w2 w3 w4 | stop"),
        ("[[deep_nesting=1000000]]", "w0 w1 w2 w3 w4 | stop"),
        ("[[duplicate_keys]]", "w0 w1 w2 w3 w4 | stop"),
    ] {
        let outcome = outcome_beside_others(&server, prompt).await;
        assert!(
            outcome == expected,
            "{prompt}: {:.80} and so on, {} bytes",
            outcome,
            outcome.len()
        );
        let growth = server.peak_memory().saturating_sub(before);
        assert!(growth <= 2 * LINE_LIMIT, "{prompt}: {growth} bytes more");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_line_within_the_limit_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder).await;
    let outcome = server
        .chat("[[tokens=2 line_bytes=3M]]")
        .streamed_outcome()
        .await;
    assert!(
        outcome.starts_with("w0 xxx") && outcome.ends_with("xxxw1 | stop"),
        "{} bytes",
        outcome.len()
    );
    assert!(outcome.len() > 3_000_000);
    server.end().await;
}
