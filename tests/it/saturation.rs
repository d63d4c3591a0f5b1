//! Too many requests, or no worker to serve them.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::{Answer, TestServer, eventually};

/// What a refused client is told to wait, in milliseconds; both headers must say the same.
fn wait_of(answer: &Answer) -> u64 {
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
async fn a_full_queue_refuses_at_once() {
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
        wait_of(&answer);
    }
    assert_eq!(server.stats().waiting, 0);
    drop(running);
    server.until_quiet().await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_long_ends_with_a_refusal() {
    let queue = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", 2);
    let server = queue
        .set("SWITCHBOARD_POOL__QUEUE_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let mut running = server.chat("[[tokens=9 stall_at=1]]").stream().await;
    running.next_text().await;
    let full = async {
        server.until("two wait", |stats| stats.waiting == 2).await;
        server.chat("one too many").send().await
    };
    let (first, second, third) =
        tokio::join!(server.chat("hi").send(), server.chat("hi").send(), full);
    for answer in [first, second, third] {
        assert_eq!(answer.error(), "429 rate_limit_error server_busy");
        wait_of(&answer);
    }
    assert_eq!(
        server.stats().waiting,
        0,
        "nobody is kept who was sent away"
    );
    drop(running);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_do_not_start_are_told_of_and_tried_ever_more_rarely() {
    let server = TestServer::fake()
        .set("FAKE_CLAUDE_EXIT_AT_START", 1)
        .start()
        .await;
    let answer = server.chat("hi").send().await;
    assert_eq!(answer.error(), "503 server_error no_worker");
    let wait = wait_of(&answer);
    let longer = eventually("starts are tried more rarely", || async {
        let answer = server.chat("hi").send().await;
        assert_eq!(answer.error(), "503 server_error no_worker");
        Some(wait_of(&answer)).filter(|longer| *longer > wait)
    })
    .await;
    assert!(longer <= 30_000, "{longer}");
    let ready = Answer::of(server.http.get(server.url("/ready")).send().await.unwrap()).await;
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
async fn a_cli_that_starts_again_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (cli, broken) = (folder.path().join("claude"), folder.path().join("broken"));
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
        .until("it is ready again", |ready| ready["status"] == "ready")
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}
