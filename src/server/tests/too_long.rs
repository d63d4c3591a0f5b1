//! Messages that are larger than may be.

use futures::SinkExt as _;
use futures::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::sockets::Socket;
use super::*;
use crate::http::tests::keyed::keyed;

/// How the socket at `path` ends for a message of `size` bytes.
async fn end(server: &Server, path: &str, size: usize) -> Option<CloseFrame> {
    let (mut sink, mut stream) = Socket::open_at(server, path).await.0.split();
    let message = Message::text("x".repeat(size));
    let heard = async {
        loop {
            match stream.next().await.unwrap().unwrap() {
                Message::Close(frame) => return frame,
                Message::Text(_) => {}
                other => panic!("{other}"),
            }
        }
    };
    within(DEADLINE, async { tokio::join!(sink.send(message), heard) }).await.1
}

/// The larger one is still being sent when the server has heard enough.
#[tokio::test]
async fn the_socket_is_closed_and_the_client_told_why() {
    let server = Server::start(ScriptedTurns::playing([])).await;
    for (path, size) in
        [("/v1/stream", 1001), ("/v1/stream", 32 << 20), ("/v1/responses", 1001), ("/v1/responses", 32 << 20)]
    {
        let frame = end(&server, path, size).await.unwrap();
        assert_eq!(u16::from(frame.code), 1009, "{path} {size}");
        assert_eq!(frame.reason.as_str(), "a message may have 1000 bytes at most", "{path} {size}");
    }
}

#[tokio::test]
async fn a_stranger_may_say_less() {
    let large = |config: &mut crate::http::Config| config.body_limit = 32 << 20;
    let server = Server::start_as(ScriptedTurns::playing([]), config(), large, keyed).await;
    let frame = end(&server, "/v1/stream", (4 << 20) + 1).await.unwrap();
    assert_eq!(frame.reason.as_str(), "a message may have 4194304 bytes at most");
}
