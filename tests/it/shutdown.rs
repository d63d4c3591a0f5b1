//! Graceful shutdown: drain of running requests, rejection of queued ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Answer, Events, TestServer, eventually};

/// Number of requests of each kind; requests of the first three kinds have a worker each.
const PER_KIND: usize = 4;
const QUEUED: usize = 3 * PER_KIND;

/// Counters of the requests' progress.
#[derive(Default)]
struct Progress {
    /// Number of streams with a first token.
    started: AtomicUsize,
    /// Number of complete answers.
    complete: AtomicUsize,
}

/// Reads a stream to its end and returns its text and its last event.
async fn read_stream(mut events: Events, progress: &Progress) -> (String, String) {
    let mut text = events.next_text().await;
    progress.started.fetch_add(1, Ordering::Relaxed);
    let events = events.rest().await;
    progress.complete.fetch_add(1, Ordering::Relaxed);
    for event in events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
    {
        text += event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default();
    }
    (text, events.last().unwrap().clone())
}

/// Sends SIGTERM while short requests and streams run and further requests are queued.
async fn stop_under_load() {
    let server = TestServer::fake()
        .workers(3 * PER_KIND)
        .set("SWITCHBOARD_SERVER__DRAIN_TIMEOUT_SECONDS", 4);
    let server = server.spawn().await;
    let progress = &Progress::default();
    let in_flight = async |count: usize| {
        server
            .wait_until("all requests are in flight", |ready| {
                let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
                let held = number(&ready["workers"]["busy"]) + number(&ready["waiting"]);
                held + progress.complete.load(Ordering::Relaxed) == count
            })
            .await;
    };
    let stream =
        async |prompt: &str| read_stream(server.chat(prompt).stream().await, progress).await;
    let short = async || -> Answer {
        let answer = server.chat("[[ttft_ms=700]]").send().await;
        progress.complete.fetch_add(1, Ordering::Relaxed);
        answer
    };
    let queued = async || {
        eventually("streams run", || async {
            (progress.started.load(Ordering::Relaxed) == 2 * PER_KIND).then_some(())
        })
        .await;
        in_flight(3 * PER_KIND).await;
        join_all((0..QUEUED).map(|_| server.chat("[[stall_at=1]]").send())).await
    };
    let stop = async {
        in_flight(3 * PER_KIND + QUEUED).await;
        server.signal(Signal::TERM);
        server.wait_until_refused().await;
    };
    let (endless, ending, short, queued, ()) = tokio::join!(
        join_all((0..PER_KIND).map(|_| stream("[[tokens=9 stall_at=2]]"))),
        join_all((0..PER_KIND).map(|_| stream("[[tokens=25 gap_ms=40]]"))),
        join_all((0..PER_KIND).map(|_| short())),
        queued(),
        stop,
    );
    let complete: String = (0..25).map(|number| format!("w{number} ")).collect();
    for (text, last) in ending {
        assert_eq!((text, last.as_str()), (complete.clone(), "[DONE]"));
    }
    for answer in short {
        assert_eq!(answer.text(), "w0 w1 w2 w3 w4 ");
    }
    for (text, last) in endless {
        assert_eq!(text, "w0 w1 ");
        assert_eq!(
            serde_json::from_str::<Value>(&last).unwrap()["error"]["code"],
            "shutting_down",
            "{last}"
        );
    }
    for answer in queued {
        assert_eq!(answer.error(), "503 server_error shutting_down");
    }
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(
        ended.log.lines().last().unwrap().ends_with("stopped"),
        "{}",
        ended.log
    );
}

/// Five concurrent rounds, which see different timings and take no longer than one.
#[tokio::test(flavor = "multi_thread")]
async fn drain_completes_short_requests_and_fails_the_rest_with_shutting_down() {
    join_all((0..5).map(|_| stop_under_load())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_ends_the_drain_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let server = TestServer::fake()
            .set("SWITCHBOARD_SERVER__DRAIN_TIMEOUT_SECONDS", 3600)
            .spawn()
            .await;
        let mut client = server.connect().await;
        client
            .write(
                &server
                    .chat("[[tokens=9 stall_at=2]]")
                    .with("stream", true)
                    .bytes(),
            )
            .await;
        client.read_until("w1").await;
        assert!(!server.workers().is_empty());
        server.signal(Signal::TERM);
        server.wait_until_refused().await;
        server.signal(second);
        let ended = server.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_server_stops_despite_open_keep_alive_connections() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__DRAIN_TIMEOUT_SECONDS", 3600)
        .spawn()
        .await;
    let mut idle = server.connect().await;
    idle.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    idle.read_until("ok").await;
    let _silent = server.connect().await;
    server.end().await;
}
