//! Worker starts: slow, failing, many at once, and rejected by the start check.

use std::time::Duration;

use crate::support::{Answer, Builder, Journal, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn request_waits_for_a_slow_worker_start() {
    let server = TestServer::fake()
        .workers(1)
        .set("FAKE_CLAUDE_START_MS", 700)
        .start()
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_worker_start_is_reported_with_its_reason() {
    for (fault, why) in [
        ("FAKE_CLAUDE_INIT_FAILS", "did not answer the handshake"),
        ("FAKE_CLAUDE_EXIT_AT_START", "did not answer the handshake"),
        (
            "FAKE_CLAUDE_START_MS",
            "did not answer the handshake within 1 s (claude.start_timeout_seconds).",
        ),
        (
            "FAKE_CLAUDE_CHECK_HANGS",
            "start check of the Claude CLI did not end within 1 s (claude.start_timeout_seconds).",
        ),
    ] {
        let value = if fault == "FAKE_CLAUDE_START_MS" {
            600_000
        } else {
            1
        };
        let server = TestServer::fake().workers(1).set(fault, value);
        let server = server
            .set("SWITCHBOARD_CLAUDE__START_TIMEOUT_SECONDS", 1)
            .start()
            .await;
        for is_stream in [false, true] {
            let chat = server.chat("hi").with("stream", is_stream).send();
            let answer = tokio::time::timeout(Duration::from_secs(20), chat)
                .await
                .expect(fault);
            assert_eq!(answer.error(), "503 server_error no_worker", "{fault}");
            assert!(
                answer.headers.contains_key("retry-after"),
                "{fault}: {:?}",
                answer.headers
            );
            let message = answer.body["error"]["message"].as_str().unwrap();
            assert!(message.contains(why), "{fault}: {message}");
            assert!(
                !message.contains("stderr"),
                "output of the process goes to the log only: {message}"
            );
        }
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_workers_start_concurrently() {
    let server = TestServer::fake()
        .workers(50)
        .set("SWITCHBOARD_POOL__PREWARM", 50)
        .start()
        .await;
    server
        .wait_until("fifty workers are ready", |stats| stats.idle == 50)
        .await;
    assert_eq!(server.stats().last_failure, None);
    assert_eq!(server.workers().len(), 50);
    let answers =
        futures::future::join_all((0..50).map(|_| server.chat("[[tokens=1]]").send())).await;
    assert!(answers.iter().all(|answer| answer.text() == "w0 "));
    server.end().await;
}

/// The start check examines the behaviour of a process, not its version.
#[tokio::test(flavor = "multi_thread")]
async fn any_cli_version_that_passes_the_start_check_is_used() {
    for version in ["2.1.10", "9.0.0"] {
        let server = TestServer::fake()
            .set("FAKE_CLAUDE_VERSION", version)
            .start()
            .await;
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
        server.end().await;
    }
}

/// Calls of the start check go to the server itself and bypass a configured proxy.
#[tokio::test(flavor = "multi_thread")]
async fn start_check_bypasses_http_proxy() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("HTTP_PROXY", "http://127.0.0.1:9")
        .start()
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_fails_the_start_check_receives_no_request() {
    for (fault, why) in [
        (
            "FAKE_CLAUDE_BODY_IGNORED",
            "does not send requests as they are given to it: `max_tokens`, `messages`",
        ),
        (
            "FAKE_CLAUDE_BASE_URL_IGNORED",
            "If the managed settings of your organisation set ANTHROPIC_BASE_URL",
        ),
        (
            "FAKE_CLAUDE_CALLS_AGAIN",
            "made 2 calls instead of one for a prompt whose answer met its limit",
        ),
    ] {
        for sign_in in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"] {
            let server = TestServer::fake()
                .set("ANTHROPIC_API_KEY", "")
                .set(sign_in, "made-up");
            let message = assert_refused(server.set(fault, 1)).await;
            assert!(message.contains(why), "{fault}: {message}");
            assert!(!message.contains("stderr"), "{fault}: {message}");
        }
    }
}

/// Asserts that no worker receives the request, and returns the client's error message.
async fn assert_refused(server: Builder) -> String {
    let journal = Journal::new();
    let server = server.workers(1).journal(&journal).start().await;
    let answer = server.chat("secret [[tokens=1]]").send().await;
    assert_eq!(answer.error(), "503 server_error no_worker");
    assert_eq!(journal.prompts(), 0);
    server.end().await;
    answer.body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_without_prewarm_is_ready_without_workers() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_POOL__PREWARM", 0)
        .start()
        .await;
    let ready = Answer::read(server.http.get(server.url("/ready")).send().await.unwrap()).await;
    assert_eq!(
        (ready.status, &ready.body["workers"]["starting"]),
        (200, &serde_json::json!(0))
    );
    assert_eq!(
        server.chat("[[tokens=1]]").send().await.text(),
        "w0 ",
        "the first request starts a worker"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_cli_is_reported_without_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let cli = folder.path().join("claude");
    std::fs::copy(env!("CARGO_BIN_EXE_fake-claude"), &cli).unwrap();
    let server = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BINARY", cli.display())
        .spawn()
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    std::fs::remove_file(&cli).unwrap();
    assert_eq!(
        server.chat("[[tokens=1]]").send().await.text(),
        "w0 ",
        "a running worker is still used"
    );
    assert_eq!(
        server.chat("[[crash_at=1]]").send().await.error(),
        "502 server_error worker_failed"
    );
    let refused = server.chat("[[tokens=1]]").send().await;
    assert_eq!(refused.error(), "503 server_error no_worker");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("the program of the Claude CLI is missing on this server"),
        "{message}"
    );
    let path = folder.path().to_str().unwrap();
    assert!(!message.contains(path), "{message}");
    assert!(
        server
            .log()
            .contains(&format!("Claude CLI program missing program={path}/claude"))
    );
    server.end().await;
}
