//! A crashed worker costs one request at most, which fails with an error. Its child processes are
//! killed.

use crate::support::{Journal, TestServer, eventually, is_gone, is_zombie, kill, stop};

const CRASHED: &str = "server_error worker_failed";

fn words(count: usize) -> String {
    (0..count).map(|index| format!("w{index} ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_point_ends_the_stream_with_an_error() {
    let server = TestServer::fake().workers(2).start().await;
    for words_sent in 0..=32 {
        let prompt = format!("[[tokens=32 crash_at={words_sent}]]");
        assert_eq!(
            server.chat(&prompt).streamed_outcome().await,
            format!("{}| {CRASHED}", words(words_sent))
        );
        assert_eq!(
            server.chat("[[tokens=1]]").send().await.text(),
            "w0 ",
            "the next request is served"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_and_signal_gives_the_client_the_same_error() {
    let server = TestServer::fake().workers(1).start().await;
    let exit_codes = [
        "exit_code=0",
        "exit_code=1",
        "exit_code=2",
        "exit_code=137",
        "exit_code=255",
    ];
    let signals = [
        "signal=KILL",
        "signal=TERM",
        "signal=SEGV",
        "signal=ABRT",
        "signal=PIPE",
        "signal=HUP",
    ];
    for death in exit_codes.into_iter().chain(signals) {
        let during = format!("[[crash_at=2 {death}]]");
        assert_eq!(
            server.chat(&during).streamed_outcome().await,
            format!("w0 w1 | {CRASHED}"),
            "{death}"
        );
        assert_eq!(
            server.chat(&during).send().await.error(),
            format!("502 {CRASHED}"),
            "{death}, no stream"
        );
        let before = format!("[[exit_at_start {death}]]");
        assert_eq!(
            server.chat(&before).streamed_outcome().await,
            format!("502 {CRASHED}"),
            "{death}, before the answer"
        );
        let within_a_line = format!("[[truncate_line_at=2 {death}]]");
        assert_eq!(
            server.chat(&within_a_line).streamed_outcome().await,
            format!("w0 w1 | {CRASHED}"),
            "{death}, in a line"
        );
        assert_eq!(
            server.chat("[[tokens=1]]").send().await.text(),
            "w0 ",
            "after {death}"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_worker_of_the_real_cli_ends_its_stream_with_an_error() {
    let server = TestServer::real().await.workers(1).start().await;
    for _ in 0..3 {
        let worker = server.only_worker().await;
        let mut stream = server.chat("[[tokens=9 stall_after=2]]").stream().await;
        stream.next_text().await;
        kill(worker);
        let rest = stream.rest().await;
        assert!(
            rest.last().unwrap().contains(r#""code":"worker_failed""#),
            "{rest:?}"
        );
        assert_eq!(
            server.chat("[[tokens=1]]").send().await.text(),
            "w1",
            "the next request is served"
        );
        assert!(is_gone(worker));
    }
    server.end().await;
}

/// The request may be given the dead process before its death is detected.
#[tokio::test(flavor = "multi_thread")]
async fn worker_that_died_while_idle_costs_no_request() {
    let server = TestServer::fake().workers(1).start().await;
    for _ in 0..30 {
        kill(server.only_worker().await);
        let chat = server
            .chat("[[tokens=1]]")
            .after(&[("user", "earlier"), ("assistant", "answer")]);
        assert_eq!(chat.send().await.text(), "w0 ");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_ignores_sigterm_is_killed_with_its_children() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(2).journal(&journal);
    let server = server
        .set("FAKE_CLAUDE_SPAWN_GRANDCHILD", 1)
        .set("FAKE_CLAUDE_IGNORE_SIGTERM", 1);
    let server = server.set("FAKE_CLAUDE_IGNORE_STDIN_EOF", 1).start().await;
    let mut stream = server
        .chat("[[stall_at=1 interrupt_ignored]]")
        .stream()
        .await;
    stream.next_text().await;
    server
        .wait_until("the spare worker is ready", |stats| stats.idle == 1)
        .await;
    journal.nth("grandchild", 2).await;
    assert_eq!(server.workers().len(), 4, "two workers and a child of each");
    drop(stream);
    server.end().await;
}

/// A grandchild keeps the pipe open, so the death of the worker does not show as end of file.
#[tokio::test(flavor = "multi_thread")]
async fn death_of_a_worker_is_detected_while_its_pipe_stays_open() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(1).journal(&journal);
    let server = server
        .set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let outcome = server
        .chat("[[spawn_grandchild crash_at=2]]")
        .streamed_outcome()
        .await;
    assert!(outcome.starts_with("w0 w1 | server_error "), "{outcome}");
    let grandchild = journal.nth("grandchild", 1).await;
    let grandchild = i32::try_from(grandchild["child"].as_i64().unwrap()).unwrap();
    let is_killed = || async { (!server.workers().contains(&grandchild)).then_some(()) };
    eventually("the grandchild is killed", is_killed).await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_processes_are_reaped() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(4)
        .set("SWITCHBOARD_POOL__MAX_TURNS", 3)
        .journal(&journal);
    let server = server.start().await;
    let prompts = (0..200).map(|number| {
        if number % 4 == 0 {
            "[[crash_at=1]]"
        } else {
            "[[tokens=2]]"
        }
    });
    let prompts: Vec<_> = prompts.collect();
    for round in prompts.chunks(8) {
        futures::future::join_all(round.iter().map(|prompt| server.chat(prompt).send())).await;
    }
    server.wait_until_idle().await;
    let started = journal.started();
    assert!(started.len() > 50, "{} processes have ended", started.len());
    let none = || async { (!started.iter().any(|id| is_zombie(*id))).then_some(()) };
    eventually("no zombie is left", none).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_idle_worker_is_replaced_before_a_request_gets_it() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_POOL__IDLE_CHECK_SECONDS", 0);
    // Without the idle check, the next request would wait for this timeout.
    let server = server
        .set("SWITCHBOARD_CLAUDE__CONTROL_TIMEOUT_SECONDS", 3600)
        .start()
        .await;
    assert_eq!(
        server.chat("[[tokens=1]]").send().await.text(),
        "w1",
        "a worker that answers the check is used"
    );
    let worker = server.only_worker().await;
    stop(worker);
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    assert!(is_gone(worker));
    server.end().await;
}
