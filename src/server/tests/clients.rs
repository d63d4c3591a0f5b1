use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use tokio::net::TcpSocket;

use super::*;
use crate::domain::TurnEvent;
use crate::http::tests::Step;

/// Deadline for the end of a turn after its client has left.
const SOON: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum DisconnectKind {
    Fin,
    Reset,
    HalfClose,
}

impl DisconnectKind {
    const ALL: [Self; 3] = [Self::Fin, Self::Reset, Self::HalfClose];

    /// Leaves, and returns the half of the connection that stays open, if any.
    async fn disconnect(self, mut client: TcpStream) -> Option<TcpStream> {
        match self {
            Self::Fin => None,
            Self::Reset => {
                client.set_zero_linger().unwrap();
                None
            }
            Self::HalfClose => {
                client.shutdown().await.unwrap();
                Some(client)
            }
        }
    }
}

#[tokio::test]
async fn turn_is_cancelled_when_client_disconnects_at_any_stage() {
    let queued = || ScriptedTurns::queueing();
    let before_text = || ScriptedTurns::playing([Step::Hang]);
    let mid_stream = || ScriptedTurns::playing([http::started(), http::text("a"), Step::Hang]);
    let stages: [(fn() -> ScriptedTurns, bool); 5] = [
        (queued, false),
        (queued, true),
        (before_text, false),
        (before_text, true),
        (mid_stream, true),
    ];
    for (index, (turns, stream)) in stages.into_iter().enumerate() {
        let mut server = Server::start(turns()).await;
        for kind in DisconnectKind::ALL {
            let mut client = server.connect().await;
            client.write_all(&chat(stream)).await.unwrap();
            server.wait_for_turns(1).await;
            if index == 4 {
                read_until(&mut client, "\"a\"").await;
            }
            let _half_open = kind.disconnect(client).await;
            let left = timeout(
                SOON,
                server
                    .running_turns
                    .wait_for(|running_turns| *running_turns == 0),
            )
            .await;
            assert!(left.is_ok(), "{kind:?} at stage {index}");
        }
    }
}

#[tokio::test]
async fn heartbeat_detects_disconnect_behind_unread_bytes() {
    let turns = ScriptedTurns::playing([http::started(), Step::Hang]);
    let mut server = Server::start_with(turns, config(), |config| {
        config.heartbeat = Duration::from_millis(50);
    })
    .await;
    let mut client = server.connect().await;
    client
        .write_all(&[chat(true), chat(true)].concat())
        .await
        .unwrap();
    read_until(&mut client, ": heartbeat").await;
    drop(client);
    within(
        Duration::from_secs(1),
        server
            .running_turns
            .wait_for(|running_turns| *running_turns == 0),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn half_sent_head_is_closed_after_timeout() {
    let config = Config {
        header_read_timeout: Duration::from_millis(100),
        ..config()
    };
    let server = Server::start_with(ScriptedTurns::playing([]), config, |_| {}).await;
    for head in ["", "POST /v1/chat/completions HTTP/1.1\r\nhost: local"] {
        let mut client = server.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        within(Duration::from_secs(2), client.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn stopped_reader_is_disconnected_and_holds_little_memory() {
    let produced = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&produced);
    let turns = ScriptedTurns::new(move |_, _| {
        let counter = Arc::clone(&counter);
        let flood = futures::stream::repeat_with(move || {
            counter.fetch_add(1024, Ordering::Relaxed);
            Ok(TurnEvent::Text("x".repeat(1024)))
        });
        Ok(flood.boxed())
    });
    let config = Config {
        send_timeout: Duration::from_millis(300),
        ..config()
    };
    let mut server = Server::start_with(turns, config, |_| {}).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(server.address).await.unwrap();
    client.write_all(&chat(true)).await.unwrap();
    server.wait_for_turns(1).await;
    server.wait_for_turns(0).await;
    let produced = produced.load(Ordering::Relaxed);
    assert!(
        produced <= 512 * 1024,
        "{produced} bytes were made for nobody"
    );
}

#[tokio::test]
async fn oversized_body_gets_413_while_it_is_still_sent() {
    let server = Server::start(ScriptedTurns::playing([])).await;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b'x');
    chunk.extend_from_slice(b"\r\n");
    let chunked = [
        b"transfer-encoding: chunked\r\n\r\n".to_vec(),
        chunk.repeat(32),
    ]
    .concat();
    let announced = [
        b"content-length: 2000000\r\n\r\n".to_vec(),
        vec![b'x'; 2_000_000],
    ]
    .concat();
    for rest in [chunked, announced] {
        let mut client = server.connect().await;
        client
            .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
            .await
            .unwrap();
        within(MAX_TEST_WAIT, client.write_all(&rest))
            .await
            .unwrap();
        let response = read_to_end(&mut client).await;
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        assert!(response.contains("request_too_large"), "{response}");
    }
}

#[tokio::test]
async fn connection_serves_requests_one_after_another() {
    let server = Server::start(ScriptedTurns::playing(http::greeting_steps())).await;
    let mut client = server.connect().await;
    for stream in [true, false, true] {
        client.write_all(&chat(stream)).await.unwrap();
        read_until(
            &mut client,
            if stream {
                "[DONE]\n\n\r\n0\r\n\r\n"
            } else {
                "Hello"
            },
        )
        .await;
    }
}

#[tokio::test]
async fn body_with_header_lines_is_not_taken_for_a_head() {
    let server = Server::start(ScriptedTurns::playing([http::started(), http::finished()])).await;
    let body = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = server.connect().await;
    client.write_all(head.as_bytes()).await.unwrap();
    // The head is complete here, and the connection was flushed.
    read_until(&mut client, "100 Continue\r\n\r\n").await;
    let (first, second) = body.split_at(10);
    client.write_all(first.as_bytes()).await.unwrap();
    client.write_all(second.as_bytes()).await.unwrap();
    let refused = read_until(&mut client, "}}").await;
    assert!(refused.contains("HTTP/1.1 400"), "{refused}");
    client.write_all(&chat(false)).await.unwrap();
    let answer = read_until(&mut client, "HTTP/1.1 ").await;
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}
