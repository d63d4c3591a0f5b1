//! Clients that are slow, greedy or both.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{RawClient, ServerProcess, TestServer, eventually};

const MEBIBYTE: u64 = 1 << 20;
const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";

/// All that comes until the server closes, in whatever way it does.
async fn rest_of(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    let reading = async {
        while stream
            .read_buf(&mut read)
            .await
            .is_ok_and(|count| count > 0)
        {}
    };
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .expect("closed within 30 s");
    String::from_utf8_lossy(&read).into_owned()
}

/// Sends `start` and then `piece` after `piece` at a pace, and tells what comes until the server closes.
async fn trickle(server: &ServerProcess, start: &[u8], piece: &[u8], pace: Duration) -> String {
    let mut client = server.connect().await;
    client.write(start).await;
    let (mut read, mut write) = client.0.split();
    let writing = async {
        let mut ticks = tokio::time::interval(pace);
        loop {
            ticks.tick().await;
            if write.write_all(piece).await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        told = rest_of(&mut read) => told,
        () = writing => unreachable!("it ends with the reading"),
    }
}

/// Sends `start` and no more, and tells what comes until the server closes.
async fn stall(server: &ServerProcess, start: &[u8]) -> String {
    let mut client = server.connect().await;
    client.write(start).await;
    rest_of(&mut client.0).await
}

/// A client of whose answer the kernel takes in little.
async fn small_client(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Asks for a stream and reads no more of it than its beginning.
async fn unread_stream(server: &ServerProcess, prompt: &str) -> RawClient {
    let mut client = RawClient(small_client(server.address).await);
    client
        .write(&server.chat(prompt).with("stream", true).bytes())
        .await;
    client.read_until(r#""content":"w0 ""#).await;
    client
}

fn busy(ready: &Value) -> u64 {
    ready["workers"]["busy"].as_u64().unwrap()
}

/// Asks again and again until nobody attacks any more.
async fn good_client(server: &ServerProcess, is_over: &AtomicBool) -> usize {
    let mut served = 0;
    while !is_over.load(Ordering::Relaxed) {
        let answer =
            tokio::time::timeout(Duration::from_secs(10), server.chat("[[tokens=2]]").send()).await;
        assert_eq!(answer.expect("an answer within 10 s").text(), "w0 w1 ");
        served += 1;
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_closed_while_a_good_one_is_served() {
    let server = TestServer::fake()
        .workers(22)
        .set("SWITCHBOARD_SERVER__HEADER_READ_TIMEOUT_SECONDS", 1);
    let server = server.set("SWITCHBOARD_SERVER__BODY_PAUSE_TIMEOUT_SECONDS", 1);
    // None has to go for others: what is waited for are the limits of time.
    let server = server.set("SWITCHBOARD_SERVER__UNKNOWN_CONNECTIONS_PER_ADDRESS", 1000);
    let server = server.set("SWITCHBOARD_SERVER__BODY_READ_TIMEOUT_SECONDS", 2);
    let process = server
        .set("SWITCHBOARD_SERVER__SEND_TIMEOUT_SECONDS", 1)
        .spawn()
        .await;
    let server = &process;
    let pace = Duration::from_millis(100);
    let body = format!("{HEAD}content-length: 1000\r\n\r\n{{");
    let is_over = AtomicBool::new(false);
    let attack = async {
        let readers = async {
            let readers =
                join_all((0..20).map(|_| unread_stream(server, "[[tokens=20000]]"))).await;
            // The good client may have one.
            server
                .until("the readers have lost their workers", |ready| {
                    busy(ready) <= 1
                })
                .await;
            readers
        };
        let told = tokio::join!(
            join_all((0..100).map(|_| stall(server, HEAD.as_bytes()))),
            join_all((0..100).map(|_| trickle(server, HEAD.as_bytes(), b"a: b\r\n", pace))),
            join_all((0..30).map(|_| stall(server, body.as_bytes()))),
            join_all((0..30).map(|_| trickle(server, body.as_bytes(), b" ", pace))),
            readers,
        );
        is_over.store(true, Ordering::Relaxed);
        told
    };
    let (served, (stalled_heads, slow_heads, stalled_bodies, slow_bodies, readers)) =
        tokio::join!(good_client(server, &is_over), attack);
    server
        .until("every worker is back", |ready| busy(ready) == 0)
        .await;
    assert!(served > 1, "{served}");
    for told in stalled_heads.into_iter().chain(slow_heads) {
        assert_eq!(told, "", "nothing is said to half a request");
    }
    for told in stalled_bodies.into_iter().chain(slow_bodies) {
        assert!(
            told.starts_with("HTTP/1.1 408 ") && told.contains(r#""code":"body_timeout""#),
            "{told}"
        );
    }
    for mut reader in readers {
        let told = rest_of(&mut reader.0).await;
        assert!(
            !told.contains("[DONE]"),
            "the whole answer, {} bytes",
            told.len()
        );
    }
    process.end().await;
}

/// What the workers have written so far, in bytes each.
fn written(server: &ServerProcess) -> Vec<u64> {
    let written = |worker: i32| {
        let counters = std::fs::read_to_string(format!("/proc/{worker}/io")).unwrap();
        counters
            .lines()
            .find_map(|line| line.strip_prefix("wchar: "))
            .unwrap()
            .parse()
            .unwrap()
    };
    server.workers().into_iter().map(written).collect()
}

/// Waits until no worker writes any more.
async fn until_all_are_held_up(server: &ServerProcess) {
    let (mut last, mut unchanged) = (0, 0);
    eventually("the workers are held up", || {
        let now = written(server).iter().sum();
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
        std::future::ready((unchanged == 200).then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_that_stop_hold_up_their_workers_and_cost_little() {
    const READERS: usize = 50;
    let server = TestServer::fake()
        .workers(READERS)
        .set("SWITCHBOARD_POOL__PREWARM", READERS);
    let server = server.set("SWITCHBOARD_SERVER__SEND_TIMEOUT_SECONDS", 3600);
    let server = server
        .set("SWITCHBOARD_SERVER__HEADER_READ_TIMEOUT_SECONDS", 1)
        .spawn()
        .await;
    server
        .until("every worker is ready", |ready| {
            ready["workers"]["idle"] == READERS
        })
        .await;
    let before = server.peak_memory();
    // Some 12 MB each.
    let readers = join_all((0..READERS).map(|_| unread_stream(&server, "[[tokens=40000]]")));
    let mut readers = readers.await;
    until_all_are_held_up(&server).await;

    for written in written(&server) {
        assert!(
            written > MEBIBYTE / 8,
            "a worker wrote only {written} bytes"
        );
        assert!(
            written < 2 * MEBIBYTE,
            "a worker could write {written} bytes that nobody reads"
        );
    }
    let growth = server.peak_memory() - before;
    assert!(
        growth < READERS as u64 * MEBIBYTE / 2,
        "{growth} bytes for {READERS} readers"
    );

    // The server closes after its answer, as no further request comes.
    let whole = rest_of(&mut readers.swap_remove(0).0).await;
    assert!(
        whole.contains(r#""content":"w39999 ""#),
        "who reads on gets all of it"
    );
    assert!(whole.contains("data: [DONE]"));
    drop(readers);
    server
        .until("every worker is back", |ready| busy(ready) == 0)
        .await;
    server.end().await;
}

/// Writes chunks of a body without end, up to a bound, and tells what comes until the server closes.
async fn pour(server: &ServerProcess) -> String {
    let mut client = server.connect().await;
    client
        .write(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b'x');
    chunk.extend_from_slice(b"\r\n");
    let (mut read, mut write) = client.0.split();
    let writing = async {
        for _ in 0..1000 {
            if write.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(rest_of(&mut read), writing).0
}

/// Sends a body of 900 kB in zstd that unpacks to 30 GB, and tells what comes.
async fn explode(server: &ServerProcess) -> String {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    // Each block is 128 KiB of zeros.
    frame.extend([0x02, 0x00, 0x10, 0x00].repeat(225_000));
    let mut client = server.connect().await;
    let length = frame.len();
    client
        .write(
            format!("{HEAD}content-encoding: zstd\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
        )
        .await;
    let (mut read, mut write) = client.0.split();
    // The server may close before it has read everything.
    let writing = async { drop(write.write_all(&frame).await) };
    tokio::join!(rest_of(&mut read), writing).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_before_it_is_there() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__BODY_LIMIT_BYTES", MEBIBYTE)
        .spawn()
        .await;
    let before = server.peak_memory();
    for length in [MEBIBYTE + 1, 1 << 40] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let head = format!("{HEAD}{expect}content-length: {length}\r\n\r\n");
            let told = stall(&server, head.as_bytes()).await;
            assert!(
                told.starts_with("HTTP/1.1 413 ") && told.contains("request_too_large"),
                "{told}"
            );
        }
    }
    for encoding in ["compress", "deflate, x-unknown"] {
        let head = format!("{HEAD}content-encoding: {encoding}\r\ncontent-length: 1000\r\n\r\n");
        let told = stall(&server, head.as_bytes()).await;
        assert!(
            told.starts_with("HTTP/1.1 415 ") && told.contains("unsupported_encoding"),
            "{told}"
        );
    }
    for told in join_all((0..4).map(|_| pour(&server))).await {
        assert!(
            told.starts_with("HTTP/1.1 413 ") && told.contains("request_too_large"),
            "{told}"
        );
    }
    for told in join_all((0..4).map(|_| explode(&server))).await {
        assert!(
            told.starts_with("HTTP/1.1 413 ") && told.contains("request_too_large"),
            "{told}"
        );
    }
    let growth = server.peak_memory() - before;
    assert!(
        growth < 24 * MEBIBYTE,
        "{growth} bytes for eight bodies of at most 1 MiB"
    );
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}
