//! Tests of messages over the size limit.

use futures::SinkExt as _;
use futures::StreamExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::response_sockets::Socket;
use super::turn_sockets::chat;
use super::turn_sockets::events_until_end;
use super::*;
use crate::http::tests::with_keys::with_configured_key;

/// Returns the close frame of the socket at `path` after a message of `size` bytes.
async fn end(server: &Server, path: &str, size: usize) -> Option<CloseFrame> {
    let (mut sink, mut stream) = Socket::open_at(server, path).await.0.split();
    let message = Message::text("x".repeat(size));
    let close_frame = async {
        loop {
            match stream.next().await.unwrap().unwrap() {
                Message::Close(frame) => return frame,
                Message::Text(_) => {}
                other => panic!("{other}"),
            }
        }
    };
    within(MAX_TEST_WAIT, async {
        tokio::join!(sink.send(message), close_frame)
    })
    .await
    .1
}

/// The larger message is still being sent when the server closes.
#[tokio::test]
async fn oversized_message_closes_the_socket_with_a_reason() {
    let server = Server::start(ScriptedTurns::playing([])).await;
    for (path, size) in [
        ("/v1/stream", 1001),
        ("/v1/stream", 32 << 20),
        ("/v1/responses", 1001),
        ("/v1/responses", 32 << 20),
    ] {
        let frame = end(&server, path, size).await.unwrap();
        assert_eq!(u16::from(frame.code), 1009, "{path} {size}");
        assert_eq!(
            frame.reason.as_str(),
            "a message may have 1000 bytes at most",
            "{path} {size}"
        );
    }
}

/// Returns the close frame of the socket at `path` after `bytes` that are no valid frame.
async fn close_frame_after(server: &Server, path: &str, bytes: &[u8]) -> Option<CloseFrame> {
    let mut socket = Socket::open_at(server, path).await.0;
    socket.get_mut().write_all(bytes).await.unwrap();
    loop {
        if let Message::Close(frame) = within(MAX_TEST_WAIT, socket.next()).await.unwrap().unwrap()
        {
            return frame;
        }
    }
}

#[tokio::test]
async fn protocol_violation_closes_the_socket_with_a_reason() {
    let server = Server::start(ScriptedTurns::playing([])).await;
    // Masked with zeros: text that is not UTF-8, an unknown opcode, a reserved bit; and a frame
    // without a mask.
    let frames: [(&[u8], u16); 4] = [
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0xc1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        (&[0x81, 0x01, b'a'], 1002),
    ];
    for path in ["/v1/stream", "/v1/responses"] {
        for (bytes, code) in frames {
            let frame = close_frame_after(&server, path, bytes).await.unwrap();
            assert_eq!(
                (u16::from(frame.code), frame.reason.is_empty()),
                (code, false),
                "{path} {bytes:?}"
            );
        }
    }
}

#[tokio::test]
async fn large_message_within_the_limit_is_read() {
    let large = |config: &mut crate::http::Config| config.body_limit = 1 << 20;
    let server = Server::start_with(
        ScriptedTurns::playing(http::greeting_steps()),
        config(),
        large,
    )
    .await;
    let text = "x".repeat(100_000);
    let mut socket = Socket::open_at(&server, "/v1/stream").await;
    socket.send(chat("a", &text)).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "a done stop"
    );
    let mut socket = Socket::open_at(&server, "/v1/responses").await;
    socket
        .send(json!({"type": "response.create", "model": "sonnet", "input": text}))
        .await;
    socket.read_until("response.completed").await;
}

#[tokio::test]
async fn unauthenticated_socket_has_a_smaller_message_limit() {
    let large = |config: &mut crate::http::Config| config.body_limit = 32 << 20;
    let server = Server::start_as(
        ScriptedTurns::playing([]),
        config(),
        large,
        with_configured_key,
    )
    .await;
    let frame = end(&server, "/v1/stream", (4 << 20) + 1).await.unwrap();
    assert_eq!(
        frame.reason.as_str(),
        "a message may have 4194304 bytes at most"
    );
}
