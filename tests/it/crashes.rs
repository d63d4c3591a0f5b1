//! A worker that dies costs one request at most, says so, and takes all it has started with it.

use crate::support::{Journal, TestServer, eventually, is_gone, is_zombie, kill, stop};

const CRASHED: &str = "server_error worker_failed";

fn words(count: usize) -> String {
    (0..count).map(|index| format!("w{index} ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_number_of_words_ends_the_stream_with_an_error() {
    let server = TestServer::fake().workers(2).start().await;
    for words_sent in 0..=32 {
        let prompt = format!("[[tokens=32 crash_at={words_sent}]]");
        assert_eq!(
            server.chat(&prompt).told().await,
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
async fn every_way_to_die_is_the_same_to_a_client() {
    let server = TestServer::fake().workers(1).start().await;
    let ways = [
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
    for way in ways.into_iter().chain(signals) {
        let during = format!("[[crash_at=2 {way}]]");
        assert_eq!(
            server.chat(&during).told().await,
            format!("w0 w1 | {CRASHED}"),
            "{way}"
        );
        assert_eq!(
            server.chat(&during).send().await.error(),
            format!("502 {CRASHED}"),
            "{way}, no stream"
        );
        let before = format!("[[exit_at_start {way}]]");
        assert_eq!(
            server.chat(&before).told().await,
            format!("502 {CRASHED}"),
            "{way}, before the answer"
        );
        let within_a_line = format!("[[truncate_line_at=2 {way}]]");
        assert_eq!(
            server.chat(&within_a_line).told().await,
            format!("w0 w1 | {CRASHED}"),
            "{way}, in a line"
        );
        assert_eq!(
            server.chat("[[tokens=1]]").send().await.text(),
            "w0 ",
            "after {way}"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_the_real_cli_ends_its_stream_with_an_error() {
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

/// The request may meet the dead process before anybody has seen that it is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_died_while_idle_costs_no_request() {
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
async fn a_worker_that_will_not_go_is_ended_with_all_it_has_started() {
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
        .until("the spare worker is ready", |stats| stats.idle == 1)
        .await;
    journal.nth("grandchild", 2).await;
    assert_eq!(
        server.workers().len(),
        4,
        "two workers and what they have started"
    );
    drop(stream);
    server.end().await;
}

/// What the worker has started keeps the pipe open, so that the end of the worker cannot be read from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_pipe_outlives_it_is_missed_all_the_same() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(1).journal(&journal);
    let server = server
        .set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let told = server.chat("[[spawn_grandchild crash_at=2]]").told().await;
    assert!(told.starts_with("w0 w1 | server_error "), "{told}");
    let grandchild = journal.nth("grandchild", 1).await;
    let grandchild = i32::try_from(grandchild["child"].as_i64().unwrap()).unwrap();
    let is_killed = || async { (!server.workers().contains(&grandchild)).then_some(()) };
    eventually("the grandchild is killed", is_killed).await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_that_ended_is_reaped() {
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
    server.until_quiet().await;
    let started = journal.started();
    assert!(started.len() > 50, "{} processes have ended", started.len());
    let none = || async { (!started.iter().any(|id| is_zombie(*id))).then_some(()) };
    eventually("nothing is left to be reaped", none).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_idle_process_is_replaced_before_a_request_gets_it() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_POOL__IDLE_CHECK_SECONDS", 0);
    // Without the check this time would pass before the next request is served.
    let server = server
        .set("SWITCHBOARD_CLAUDE__CONTROL_TIMEOUT_SECONDS", 3600)
        .start()
        .await;
    assert_eq!(
        server.chat("[[tokens=1]]").send().await.text(),
        "w1",
        "a process that answers is lent"
    );
    let worker = server.only_worker().await;
    stop(worker);
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    assert!(is_gone(worker));
    server.end().await;
}
