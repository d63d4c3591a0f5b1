//! Output of a worker that no worker should write: it costs little memory and disturbs nobody else.

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

/// What the prompt comes to, while two other requests run beside it from before its beginning to after its end.
async fn told_beside_others(server: &ServerProcess, prompt: &str) -> String {
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = server.chat("[[tokens=200 gap_ms=10]]").stream().await;
        assert_eq!(other.next_text().await, "w0 ");
        others.push(other);
    }
    let told = server.chat(prompt).told().await;
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
    told
}

/// The bytes of the answer that were in the faulty line are lost with it; what came before and after is not.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_lines_cost_no_more_than_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder).await;
    told_beside_others(&server, "[[tokens=5]]").await;
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
        let told = told_beside_others(&server, prompt).await;
        assert!(
            told == expected,
            "{prompt}: {:.80} and so on, {} bytes",
            told,
            told.len()
        );
        let growth = server.peak_memory().saturating_sub(before);
        assert!(growth <= 2 * LINE_LIMIT, "{prompt}: {growth} bytes more");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_within_the_limit_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder).await;
    let told = server.chat("[[tokens=2 line_bytes=3M]]").told().await;
    assert!(
        told.starts_with("w0 xxx") && told.ends_with("xxxw1 | stop"),
        "{} bytes",
        told.len()
    );
    assert!(told.len() > 3_000_000);
    server.end().await;
}
