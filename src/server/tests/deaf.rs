//! WebSocket clients that stop reading.

use futures::SinkExt as _;
use futures::StreamExt as _;
use futures::stream;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::sockets::Socket;
use super::streams::chat;
use super::streams::open;
use super::streams::prompt;
use super::streams::told;
use super::*;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::http::tests::play;

/// Pause without progress after which the connection counts as stalled.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns turns that never end, except for the prompt `hi`, and a counter of the events taken from
/// them.
fn endless() -> (ScriptedTurns, watch::Receiver<usize>) {
    let (count, taken) = watch::channel(0);
    let turns = ScriptedTurns::new(move |_, turn| {
        if prompt(turn) == "hi" {
            return Ok(play(http::greeting()));
        }
        let count = count.clone();
        let texts = stream::repeat_with(move || {
            count.send_modify(|count| *count += 1);
            Ok(TurnEvent::Text("x".repeat(64 * 1024)))
        });
        let started = TurnEvent::started("m", Usage::default());
        Ok(stream::iter([Ok(started)]).chain(texts).boxed())
    });
    (turns, taken)
}

/// Waits until the server can write no more.
async fn until_stuck(taken: &mut watch::Receiver<usize>) {
    within(DEADLINE, taken.wait_for(|taken| *taken > 0))
        .await
        .unwrap();
    while timeout(PAUSE, taken.changed()).await.is_ok() {}
}

fn narrow() -> Config {
    Config {
        send_buffer: 4096,
        ..config()
    }
}

#[tokio::test]
async fn stalled_socket_delays_only_its_own_turns_and_is_closed() {
    let config = Config {
        send_timeout: Duration::from_millis(300),
        ..narrow()
    };
    let mut server = Server::start_with(endless().0, config, |_| {}).await;
    let mut deaf = open(&server).await;
    deaf.say(chat("a", "much")).await;
    server.until_held(1).await;
    let mut socket = open(&server).await;
    socket.say(chat("b", "hi")).await;
    assert_eq!(told(&mut socket, 1).await.last().unwrap(), "b done stop");
    server.until_held(0).await;
    drop(deaf);
}

#[tokio::test]
async fn stalled_socket_can_still_cancel_and_start_turns() {
    let (turns, mut taken) = endless();
    let mut server = Server::start_with(turns, narrow(), |_| {}).await;
    let mut deaf = open(&server).await;
    deaf.say(chat("a", "much")).await;
    until_stuck(&mut taken).await;
    deaf.say(json!({"type": "cancel", "id": "a"})).await;
    server.until_held(0).await;
    deaf.say(chat("b", "hi")).await;
    deaf.until("done").await;
    assert_eq!(
        told(&mut deaf, 1).await,
        ["b started", "b token Hel", "b token lo", "b done stop"]
    );
}

#[tokio::test]
async fn stalled_socket_can_close() {
    for path in ["/v1/stream", "/v1/responses"] {
        let (turns, mut taken) = endless();
        let mut server = Server::start_with(turns, narrow(), |_| {}).await;
        let mut deaf = Socket::open_at(&server, path).await;
        let mut message = chat("a", "much");
        if path == "/v1/responses" {
            message = json!({"type": "response.create", "model": "sonnet", "input": "much"});
        }
        deaf.say(message).await;
        until_stuck(&mut taken).await;
        server.until_held(1).await;
        deaf.0.send(Message::Close(None)).await.unwrap();
        server.until_held(0).await;
    }
}

/// Unread messages are not buffered without bound.
#[tokio::test]
async fn stalled_socket_that_floods_messages_is_not_read_without_bound() {
    let (turns, mut taken) = endless();
    let server = Server::start_with(turns, narrow(), |_| {}).await;
    let mut deaf = open(&server).await;
    deaf.say(chat("a", "much")).await;
    until_stuck(&mut taken).await;
    let ping = Message::text(format!("{{\"type\":\"ping\"{}}}", " ".repeat(900)));
    let mut said = 0;
    while let Ok(sent) = timeout(PAUSE, deaf.0.send(ping.clone())).await {
        sent.unwrap();
        said += 1;
        assert!(said < 50_000, "more than lies on the way");
    }
}
