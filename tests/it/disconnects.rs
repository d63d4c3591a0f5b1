//! A client that disconnects, in any way and at any time, frees its worker at once.

use std::time::{Duration, SystemTime};

use futures::StreamExt;
use serde_json::Value;

use crate::support::{Journal, RawClient, TestServer};

/// Ways in which a client disconnects.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Disconnect {
    Fin,
    Reset,
    /// Closes its sending side and reads on, which HTTP servers treat as a disconnect.
    HalfClose,
    /// Leaves a pipelined request unread in the socket, which hides the FIN from the server.
    PipelinedFin,
}

use Disconnect::{Fin, HalfClose, PipelinedFin, Reset};

impl Disconnect {
    async fn perform(self, mut client: RawClient) {
        match self {
            Fin => drop(client),
            Reset => client.reset(),
            HalfClose => {
                client.half_close().await;
                client.read_to_end().await;
            }
            PipelinedFin => {
                client
                    .write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    .await;
            }
        }
    }
}

async fn send(server: &TestServer, prompt: &str, is_stream: bool) -> RawClient {
    let mut client = RawClient::connect(server).await;
    client
        .write(&server.chat(prompt).with("stream", is_stream).bytes())
        .await;
    client
}

fn now() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn milliseconds(event: &Value) -> u64 {
    event["ms"].as_u64().unwrap()
}

/// The server's own work takes a millisecond; the bound leaves room for a busy machine.
#[tokio::test(flavor = "multi_thread")]
async fn disconnect_interrupts_the_turn_at_once() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let worker = server.only_worker().await;
    let mut round = 0;
    for disconnect in [Fin, Reset, HalfClose] {
        let mut delays = Vec::new();
        for is_stream in [true, false] {
            for prompt in [
                "[[ttft_ms=600000]]",
                "[[stall_at=2]]",
                "[[tokens=20000 gap_ms=1]]",
            ] {
                for _ in 0..3 {
                    round += 1;
                    let mut client = send(&server, prompt, is_stream).await;
                    if is_stream && !prompt.contains("ttft") {
                        client.read_until("w1 ").await;
                    } else {
                        server
                            .wait_until("the prompt arrives", |_| journal.prompts() == round)
                            .await;
                    }
                    let left_at = now();
                    disconnect.perform(client).await;
                    let interrupt = journal.nth("interrupt", round).await;
                    delays.push(milliseconds(&interrupt).saturating_sub(left_at));
                    assert_eq!(journal.nth("turn", round).await["outcome"], "interrupted");
                    assert_eq!(
                        server.only_worker().await,
                        worker,
                        "the worker is used again"
                    );
                }
            }
        }
        delays.sort_unstable();
        assert!(
            delays[delays.len() / 2] <= 100,
            "{disconnect:?}: {delays:?} ms"
        );
    }
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_removes_a_queued_request() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let mut holder = server.chat("[[stall_at=1]]").stream().await;
    holder.next_text().await;
    for disconnect in [Fin, Reset, HalfClose] {
        for is_stream in [true, false] {
            let client = send(&server, "[[tokens=1]]", is_stream).await;
            server
                .wait_until("the request waits", |stats| stats.waiting == 1)
                .await;
            disconnect.perform(client).await;
            server
                .wait_until("the request leaves the queue", |stats| stats.waiting == 0)
                .await;
        }
    }
    drop(holder);
    server.wait_until_idle().await;
    assert_eq!(
        journal.prompts(),
        1,
        "only the holder's prompt has reached the worker"
    );
    server.end().await;
}

/// A disconnect hidden behind a pipelined request shows when a heartbeat cannot be delivered.
#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_detects_a_disconnect_hidden_by_a_pipelined_request() {
    let journal = Journal::new();
    let server = TestServer::fake().workers(1).journal(&journal);
    let server = server.set("SWITCHBOARD_SERVER__HEARTBEAT_SECONDS", 1);
    let server = server
        .set("SWITCHBOARD_SERVER__FIRST_EVENT_WAIT_SECONDS", 0)
        .start()
        .await;
    let worker = server.only_worker().await;
    for (round, prompt) in ["[[ttft_ms=600000]]", "[[stall_at=2]]"]
        .into_iter()
        .enumerate()
    {
        let mut client = send(&server, prompt, true).await;
        client
            .read_until(if round == 0 { "200 OK" } else { "w1 " })
            .await;
        PipelinedFin.perform(client).await;
        assert_eq!(
            journal.nth("turn", round + 1).await["outcome"],
            "interrupted"
        );
        assert_eq!(server.only_worker().await, worker);
    }
    server.end().await;
}

/// Without a stream no heartbeat can fail, so the turn runs to its end and then frees its worker.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_disconnect_without_a_stream_lets_the_turn_finish() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let worker = server.only_worker().await;
    let holder = server.chat("[[stall_at=1]]").stream().await;
    let running = send(&server, "[[tokens=3 ttft_ms=50]]", false).await;
    server
        .wait_until("the request waits", |stats| stats.waiting == 1)
        .await;
    PipelinedFin.perform(running).await;
    drop(holder);
    assert_eq!(journal.nth("turn", 2).await["deltas"], 3);
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}

/// Runs `count` clients, four at a time, that disconnect by FIN, reset or half-close in the middle
/// of their answers.
async fn disconnect_many(server: &TestServer, count: usize, prompt: &str, first: &str) {
    let disconnects = [Fin, Reset, HalfClose];
    let clients = (0..count).map(|number| async move {
        let is_stream = number % 4 != 3;
        let mut client = send(server, prompt, is_stream).await;
        if is_stream {
            client.read_until(first).await;
        } else if number % 8 == 3 {
            server
                .wait_until("a worker is busy", |stats| stats.busy > 0)
                .await;
        }
        disconnects[number % disconnects.len()]
            .perform(client)
            .await;
    });
    futures::stream::iter(clients)
        .buffer_unordered(4)
        .count()
        .await;
    server.wait_until_idle().await;
}

/// Starts both workers and returns their process ids.
async fn both_workers(server: &TestServer) -> Vec<i32> {
    let (one, two) = tokio::join!(
        server.chat("[[tokens=2 gap_ms=500]]").send(),
        server.chat("[[tokens=2 gap_ms=500]]").send()
    );
    assert_eq!((one.status, two.status), (200, 200));
    server
        .wait_until("both workers are ready", |stats| stats.idle == 2)
        .await;
    server.workers()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_survive_a_thousand_disconnects() {
    let server = TestServer::fake()
        .workers(2)
        .set("SWITCHBOARD_POOL__MAX_TURNS", 1_000_000)
        .start()
        .await;
    let workers = both_workers(&server).await;
    disconnect_many(&server, 1000, "[[tokens=5000 gap_ms=2]]", "w1 ").await;
    assert_eq!(
        server.workers(),
        workers,
        "the same processes have served all of them"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_the_real_cli_survive_two_hundred_disconnects() {
    let server = TestServer::real().await.workers(2).start().await;
    let workers = both_workers(&server).await;
    disconnect_many(&server, 200, "[[tokens=100000 gap_ms=3]]", "w1").await;
    assert_eq!(
        server.workers(),
        workers,
        "the same processes have served all of them"
    );
    let timeout = Duration::from_secs(10);
    let answer = tokio::time::timeout(timeout, server.chat("[[tokens=1]]").send())
        .await
        .unwrap();
    assert_eq!(answer.text(), "w1");
    server.end().await;
}
