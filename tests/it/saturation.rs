//! Overload: a overflow queue, queue timeouts, and workers that cannot start.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::{Answer, TestServer, eventually};

/// Retry delay of a rejected request, in milliseconds; both headers must agree.
fn retry_after_ms(answer: &Answer) -> u64 {
    let header = |name: &str| {
        answer.headers[name]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let wait = header("retry-after-ms");
    assert_eq!(header("retry-after"), wait.div_ceil(1000));
    assert!(wait > 0);
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_rejects_requests_at_once() {
    let server = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", 0);
    let server = server
        .set("SWITCHBOARD_POOL__QUEUE_TIMEOUT_SECONDS", 3600)
        .start()
        .await;
    let mut running = server.chat("[[tokens=9 stall_at=1]]").stream().await;
    running.next_text().await;
    for stream in [false, true] {
        let answer = server.chat("hi").with("stream", stream).send();
        let answer = tokio::time::timeout(Duration::from_secs(10), answer)
            .await
            .expect("at once");
        assert_eq!(answer.error(), "429 rate_limit_error server_busy");
        retry_after_ms(&answer);
    }
    assert_eq!(server.stats().waiting, 0);
    drop(running);
    server.wait_until_idle().await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_timeout_rejects_waiting_requests() {
    let queue = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", 2);
    let server = queue
        .set("SWITCHBOARD_POOL__QUEUE_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let mut running = server.chat("[[tokens=9 stall_at=1]]").stream().await;
    running.next_text().await;
    let overflow = async {
        server
            .wait_until("two requests wait", |stats| stats.waiting == 2)
            .await;
        server.chat("one too many").send().await
    };
    let (first, second, third) =
        tokio::join!(server.chat("hi").send(), server.chat("hi").send(), overflow);
    for answer in [first, second, third] {
        assert_eq!(answer.error(), "429 rate_limit_error server_busy");
        retry_after_ms(&answer);
    }
    assert_eq!(
        server.stats().waiting,
        0,
        "rejected requests leave the queue"
    );
    drop(running);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_worker_starts_are_reported_and_retried_with_backoff() {
    let server = TestServer::fake()
        .set("FAKE_CLAUDE_EXIT_AT_START", 1)
        .start()
        .await;
    let answer = server.chat("hi").send().await;
    assert_eq!(answer.error(), "503 server_error no_worker");
    let wait = retry_after_ms(&answer);
    let longer = eventually("starts are retried less often", || async {
        let answer = server.chat("hi").send().await;
        assert_eq!(answer.error(), "503 server_error no_worker");
        Some(retry_after_ms(&answer)).filter(|longer| *longer > wait)
    })
    .await;
    assert!(longer <= 30_000, "{longer}");
    let ready = Answer::read(server.http.get(server.url("/ready")).send().await.unwrap()).await;
    assert_eq!(ready.status, 503);
    let problem = ready.body["problems"][0]
        .as_str()
        .unwrap()
        .trim_end_matches('.');
    assert!(
        answer.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains(problem),
        "{problem}"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_recovers_when_cli_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let cli = folder.path().join("claude");
    let broken = folder.path().join("broken");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] && [ -e '{}' ] && exit 3\nexec '{}' \"$@\"\n",
        broken.display(),
        env!("CARGO_BIN_EXE_fake-claude")
    );
    std::fs::write(&cli, script).unwrap();
    std::fs::set_permissions(&cli, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&broken, "").unwrap();

    let server = TestServer::fake()
        .set("SWITCHBOARD_CLAUDE__BINARY", cli.display())
        .spawn()
        .await;
    assert_eq!(
        server.chat("hi").send().await.error(),
        "503 server_error no_worker"
    );
    assert_eq!(server.get("/ready").await.0, 503);
    std::fs::remove_file(&broken).unwrap();
    server
        .wait_until("it is ready again", |ready| ready["status"] == "ready")
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}
