//! A client that leaves frees its worker at once, however and whenever it leaves.

use std::time::{Duration, SystemTime};

use futures::StreamExt;
use serde_json::Value;

use crate::support::{Journal, RawClient, TestServer};

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goodbye {
    Fin,
    Reset,
    /// Stops writing and goes on reading, which HTTP servers take for leaving.
    HalfClose,
    /// Leaves another request behind, unread, which hides the end of the connection from the server.
    PipelinedFin,
}

use Goodbye::{Fin, HalfClose, PipelinedFin, Reset};

impl Goodbye {
    async fn say(self, mut client: RawClient) {
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
async fn the_turn_of_a_client_that_left_is_interrupted_at_once() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let worker = server.only_worker().await;
    let mut round = 0;
    for goodbye in [Fin, Reset, HalfClose] {
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
                            .until("the prompt arrives", |_| journal.prompts() == round)
                            .await;
                    }
                    let left_at = now();
                    goodbye.say(client).await;
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
            "{goodbye:?}: {delays:?} ms"
        );
    }
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_the_queue_never_gets_a_turn() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let mut holder = server.chat("[[stall_at=1]]").stream().await;
    holder.next_text().await;
    for goodbye in [Fin, Reset, HalfClose] {
        for is_stream in [true, false] {
            let client = send(&server, "[[tokens=1]]", is_stream).await;
            server.until("it waits", |stats| stats.waiting == 1).await;
            goodbye.say(client).await;
            server
                .until("it is forgotten", |stats| stats.waiting == 0)
                .await;
        }
    }
    drop(holder);
    server.until_quiet().await;
    assert_eq!(
        journal.prompts(),
        1,
        "only the holder's prompt has reached the worker"
    );
    server.end().await;
}

/// Of a client that is hidden behind a request of its own the server learns when a heartbeat cannot be delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_a_request_behind_is_found_by_the_heartbeat() {
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
        PipelinedFin.say(client).await;
        assert_eq!(
            journal.nth("turn", round + 1).await["outcome"],
            "interrupted"
        );
        assert_eq!(server.only_worker().await, worker);
    }
    server.end().await;
}

/// Nothing can be written to a client that waits for one whole body, so its turn runs on, and to its end only.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_client_without_a_stream_costs_its_turn_and_nothing_else() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let worker = server.only_worker().await;
    let holder = server.chat("[[stall_at=1]]").stream().await;
    let running = send(&server, "[[tokens=3 ttft_ms=50]]", false).await;
    server.until("it waits", |stats| stats.waiting == 1).await;
    PipelinedFin.say(running).await;
    drop(holder);
    assert_eq!(journal.nth("turn", 2).await["deltas"], 3);
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}

/// `count` clients, four at a time, that leave in every way in the middle of their answers.
async fn disconnect_many(server: &TestServer, count: usize, prompt: &str, first: &str) {
    let goodbyes = [Fin, Reset, HalfClose];
    let clients = (0..count).map(|number| async move {
        let is_stream = number % 4 != 3;
        let mut client = send(server, prompt, is_stream).await;
        if is_stream {
            client.read_until(first).await;
        } else if number % 8 == 3 {
            server
                .until("a worker is busy", |stats| stats.busy > 0)
                .await;
        }
        goodbyes[number % goodbyes.len()].say(client).await;
    });
    futures::stream::iter(clients)
        .buffer_unordered(4)
        .count()
        .await;
    server.until_quiet().await;
}

/// Both workers there may be, once they run.
async fn both_workers(server: &TestServer) -> Vec<i32> {
    let (one, two) = tokio::join!(
        server.chat("[[tokens=2 gap_ms=500]]").send(),
        server.chat("[[tokens=2 gap_ms=500]]").send()
    );
    assert_eq!((one.status, two.status), (200, 200));
    server
        .until("both workers are ready", |stats| stats.idle == 2)
        .await;
    server.workers()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_disconnects_leave_nothing() {
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
async fn two_hundred_disconnects_leave_nothing_of_the_real_cli() {
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
