//! WebSocket clients that stop reading.

use futures::SinkExt as _;
use futures::StreamExt as _;
use futures::stream;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::response_sockets::Socket;
use super::turn_sockets::chat;
use super::turn_sockets::events_until_end;
use super::turn_sockets::open;
use super::turn_sockets::prompt;
use super::*;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::http::tests::play;

/// Pause without progress after which the connection counts as stalled.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns turns that never end, except for the prompt `hi`, and a counter of the events progress from
/// them.
fn endless_turns() -> (ScriptedTurns, watch::Receiver<usize>) {
    let (count, progress) = watch::channel(0);
    let turns = ScriptedTurns::new(move |_, turn| {
        if prompt(turn) == "hi" {
            return Ok(play(http::greeting_steps()));
        }
        let count = count.clone();
        let texts = stream::repeat_with(move || {
            count.send_modify(|count| *count += 1);
            Ok(TurnEvent::Text("x".repeat(64 * 1024)))
        });
        let started = TurnEvent::started("m", Usage::default());
        Ok(stream::iter([Ok(started)]).chain(texts).boxed())
    });
    (turns, progress)
}

/// Waits until the server can write no more.
async fn wait_until_stalled(progress: &mut watch::Receiver<usize>) {
    within(MAX_TEST_WAIT, progress.wait_for(|progress| *progress > 0))
        .await
        .unwrap();
    while timeout(PAUSE, progress.changed()).await.is_ok() {}
}

fn small_send_buffer() -> Config {
    Config {
        send_buffer: 4096,
        ..config()
    }
}

#[tokio::test]
async fn stalled_socket_delays_only_its_own_turns_and_is_closed() {
    let config = Config {
        send_timeout: Duration::from_millis(300),
        ..small_send_buffer()
    };
    let mut server = Server::start_with(endless_turns().0, config, |_| {}).await;
    let mut stalled = open(&server).await;
    stalled.send(chat("a", "much")).await;
    server.wait_for_turns(1).await;
    let mut socket = open(&server).await;
    socket.send(chat("b", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "b done stop"
    );
    server.wait_for_turns(0).await;
    drop(stalled);
}

#[tokio::test]
async fn stalled_socket_can_still_cancel_and_start_turns() {
    let (turns, mut progress) = endless_turns();
    let mut server = Server::start_with(turns, small_send_buffer(), |_| {}).await;
    let mut stalled = open(&server).await;
    stalled.send(chat("a", "much")).await;
    wait_until_stalled(&mut progress).await;
    stalled.send(json!({"type": "cancel", "id": "a"})).await;
    server.wait_for_turns(0).await;
    stalled.send(chat("b", "hi")).await;
    stalled.read_until("done").await;
    assert_eq!(
        events_until_end(&mut stalled, 1).await,
        ["b started", "b token Hel", "b token lo", "b done stop"]
    );
}

#[tokio::test]
async fn stalled_socket_can_close() {
    for path in ["/v1/stream", "/v1/responses"] {
        let (turns, mut progress) = endless_turns();
        let mut server = Server::start_with(turns, small_send_buffer(), |_| {}).await;
        let mut stalled = Socket::open_at(&server, path).await;
        let mut message = chat("a", "much");
        if path == "/v1/responses" {
            message = json!({"type": "response.create", "model": "sonnet", "input": "much"});
        }
        stalled.send(message).await;
        wait_until_stalled(&mut progress).await;
        server.wait_for_turns(1).await;
        stalled.0.send(Message::Close(None)).await.unwrap();
        server.wait_for_turns(0).await;
    }
}

/// Unread messages are not buffered without bound.
#[tokio::test]
async fn stalled_socket_that_floods_messages_is_not_read_without_bound() {
    let (turns, mut progress) = endless_turns();
    let server = Server::start_with(turns, small_send_buffer(), |_| {}).await;
    let mut stalled = open(&server).await;
    stalled.send(chat("a", "much")).await;
    wait_until_stalled(&mut progress).await;
    let ping = Message::text(format!("{{\"type\":\"ping\"{}}}", " ".repeat(900)));
    let mut received = 0;
    while let Ok(sent) = timeout(PAUSE, stalled.0.send(ping.clone())).await {
        sent.unwrap();
        received += 1;
        assert!(received < 50_000, "more than lies on the way");
    }
}
