//! Slow clients, stalled readers and oversized bodies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{RawClient, ServerProcess, TestServer, eventually};

const MEBIBYTE: u64 = 1 << 20;
const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";

/// Reads until the server closes the connection, in whatever way.
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

/// Sends `start` and then `piece` again and again. Returns the response up to the close.
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
        response = rest_of(&mut read) => response,
        () = writing => unreachable!("writing ends with reading"),
    }
}

/// Sends `start` and no more. Returns the response up to the close.
async fn stall(server: &ServerProcess, start: &[u8]) -> String {
    let mut client = server.connect().await;
    client.write(start).await;
    rest_of(&mut client.0).await
}

/// Connects with a small receive buffer, so that the kernel accepts little of the answer.
async fn small_client(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Requests a stream and reads only its beginning.
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

/// Sends requests until the attack is over, and returns how many were answered.
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
async fn slow_clients_time_out_while_a_good_one_is_served() {
    let server = TestServer::fake()
        .workers(22)
        .set("SWITCHBOARD_SERVER__HEADER_READ_TIMEOUT_SECONDS", 1);
    let server = server.set("SWITCHBOARD_SERVER__BODY_PAUSE_TIMEOUT_SECONDS", 1);
    // High enough that no connection is evicted: only the timeouts close them.
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
            // The good client may hold one worker.
            server
                .wait_until("the readers have lost their workers", |ready| {
                    busy(ready) <= 1
                })
                .await;
            readers
        };
        let response = tokio::join!(
            join_all((0..100).map(|_| stall(server, HEAD.as_bytes()))),
            join_all((0..100).map(|_| trickle(server, HEAD.as_bytes(), b"a: b\r\n", pace))),
            join_all((0..30).map(|_| stall(server, body.as_bytes()))),
            join_all((0..30).map(|_| trickle(server, body.as_bytes(), b" ", pace))),
            readers,
        );
        is_over.store(true, Ordering::Relaxed);
        response
    };
    let (served, (stalled_heads, slow_heads, stalled_bodies, slow_bodies, readers)) =
        tokio::join!(good_client(server, &is_over), attack);
    server
        .wait_until("every worker is back", |ready| busy(ready) == 0)
        .await;
    assert!(served > 1, "{served}");
    for response in stalled_heads.into_iter().chain(slow_heads) {
        assert_eq!(response, "", "an unfinished head gets no response");
    }
    for response in stalled_bodies.into_iter().chain(slow_bodies) {
        assert!(
            response.starts_with("HTTP/1.1 408 ") && response.contains(r#""code":"body_timeout""#),
            "{response}"
        );
    }
    for mut reader in readers {
        let response = rest_of(&mut reader.0).await;
        assert!(
            !response.contains("[DONE]"),
            "the whole answer was sent, {} bytes",
            response.len()
        );
    }
    process.end().await;
}

/// Returns the bytes written so far by each worker.
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

/// Waits until backpressure keeps every worker from writing.
async fn wait_until_all_are_blocked(server: &ServerProcess) {
    let mut last = 0;
    let mut unchanged = 0;
    eventually("the workers are blocked", || {
        let now = written(server).iter().sum();
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
        std::future::ready((unchanged == 200).then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_readers_block_their_workers_and_use_little_memory() {
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
        .wait_until("every worker is ready", |ready| {
            ready["workers"]["idle"] == READERS
        })
        .await;
    let before = server.peak_memory();
    // Some 12 MB each.
    let readers = join_all((0..READERS).map(|_| unread_stream(&server, "[[tokens=40000]]")));
    let mut readers = readers.await;
    wait_until_all_are_blocked(&server).await;

    for written in written(&server) {
        assert!(
            written > MEBIBYTE / 8,
            "a worker wrote only {written} bytes"
        );
        assert!(
            written < 2 * MEBIBYTE,
            "a worker wrote {written} bytes without a reader"
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
        "a reader that resumes gets the whole answer"
    );
    assert!(whole.contains("data: [DONE]"));
    drop(readers);
    server
        .wait_until("every worker is back", |ready| busy(ready) == 0)
        .await;
    server.end().await;
}

/// Sends a chunked body of up to 1000 chunks of 64 KiB. Returns the response up to the close.
async fn send_endless_body(server: &ServerProcess) -> String {
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

/// Sends a zstd body of 900 kB that decompresses to 30 GB. Returns the response up to the close.
async fn send_decompression_bomb(server: &ServerProcess) -> String {
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
async fn oversized_body_is_refused_before_it_is_received() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_SERVER__BODY_LIMIT_BYTES", MEBIBYTE)
        .spawn()
        .await;
    let before = server.peak_memory();
    for length in [MEBIBYTE + 1, 1 << 40] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let head = format!("{HEAD}{expect}content-length: {length}\r\n\r\n");
            let response = stall(&server, head.as_bytes()).await;
            assert!(
                response.starts_with("HTTP/1.1 413 ") && response.contains("request_too_large"),
                "{response}"
            );
        }
    }
    for encoding in ["compress", "deflate, x-unknown"] {
        let head = format!("{HEAD}content-encoding: {encoding}\r\ncontent-length: 1000\r\n\r\n");
        let response = stall(&server, head.as_bytes()).await;
        assert!(
            response.starts_with("HTTP/1.1 415 ") && response.contains("unsupported_encoding"),
            "{response}"
        );
    }
    for response in join_all((0..4).map(|_| send_endless_body(&server))).await {
        assert!(
            response.starts_with("HTTP/1.1 413 ") && response.contains("request_too_large"),
            "{response}"
        );
    }
    for response in join_all((0..4).map(|_| send_decompression_bomb(&server))).await {
        assert!(
            response.starts_with("HTTP/1.1 413 ") && response.contains("request_too_large"),
            "{response}"
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

/// Sends `start` and 600,000 small objects as a message on the WebSocket at `path`. Returns the
/// answer.
async fn send_small_objects(server: &ServerProcess, path: &str, start: &str) -> Value {
    let url = server.url(path).replace("http:", "ws:");
    let (mut socket, _) = connect_async(url).await.unwrap();
    let objects = vec![r#"{"a":0}"#; 600_000].join(",");
    let message = Message::text(format!("{start}[{objects}]}}"));
    socket.send(message).await.unwrap();
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// Parsed, each of the objects would take some 650 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn socket_message_with_too_much_structure_uses_little_memory() {
    let server = TestServer::fake().workers(1).spawn().await;
    let before = server.peak_memory();
    let chat = r#"{"type":"chat","id":"a","messages":"#;
    let create = r#"{"type":"response.create","stream_id":"a","model":"haiku","input":"#;
    for (path, start, id) in [
        ("/v1/stream", chat, "id"),
        ("/v1/responses", create, "stream_id"),
    ] {
        let answer = send_small_objects(&server, path, start).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("500000 objects and arrays"), "{answer}");
        assert_eq!(answer[id], "a", "{path}");
    }
    let growth = server.peak_memory() - before;
    assert!(
        growth < 96 * MEBIBYTE,
        "{growth} bytes for messages of 5 MB"
    );
    server.end().await;
}
