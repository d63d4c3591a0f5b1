//! Authentication of WebSockets for many turns.

use std::future::ready;

use bytes::Bytes;
use futures::SinkExt as _;
use futures::StreamExt as _;
use futures::stream::SplitStream;
use serde_json::json;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::response_sockets::Socket;
use super::turn_sockets::chat;
use super::turn_sockets::events_until_end;
use super::turn_sockets::open;
use super::turn_sockets::prompted_turns;
use super::*;
use crate::engine::hooks::testing::mark_header;
use crate::http::tests::with_keys::RevocableKey;
use crate::http::tests::with_keys::with_configured_key;

#[tokio::test]
async fn socket_authenticates_with_its_first_message() {
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let mut socket = open(&server).await;
    socket
        .send(json!({"type": "auth", "api_key": "secret-1"}))
        .await;
    assert_eq!(socket.next().await, Some(json!({"type": "authenticated"})));
    socket.send(chat("a", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "a done stop"
    );
    socket
        .send(json!({"type": "auth", "api_key": "guess"}))
        .await;
    assert_eq!(
        events_until_end(&mut socket, 1).await,
        ["- error invalid_api_key"]
    );
    socket.send(chat("a", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "a done stop",
        "still the key that was good"
    );

    for first in [
        json!({"type": "auth", "api_key": "guess"}),
        chat("a", "hi"),
        json!({"type": "ping"}),
    ] {
        let mut socket = open(&server).await;
        socket.send(first).await;
        assert_eq!(
            events_until_end(&mut socket, 1).await,
            ["- error invalid_api_key"]
        );
        assert_eq!(socket.next().await, Some(json!(4401)));
    }
}

/// The message has the right key, but is larger than a message with a key needs to be.
#[tokio::test]
async fn oversized_authentication_message_is_refused() {
    let large = |config: &mut crate::http::Config| config.body_limit = 1 << 20;
    let server = Server::start_as(prompted_turns(), config(), large, with_configured_key).await;
    for (padding, expected) in [(1000, "authenticated"), (64 * 1024, "error")] {
        let mut socket = open(&server).await;
        let auth = json!({"type": "auth", "api_key": "secret-1"});
        let message = format!("{auth}{}", " ".repeat(padding));
        socket.0.send(Message::text(message)).await.unwrap();
        let answer = socket.next().await.unwrap();
        assert_eq!(answer["type"], expected, "{answer}");
    }
}

/// Time is paused and advances only when every task waits, so the test does not take the full
/// timeout.
#[tokio::test(start_paused = true)]
async fn socket_without_authentication_is_closed_after_timeout() {
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let (_, mut socket) = open(&server).await.0.split();
    expect_close_frame(&mut socket).await;
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_extend_the_authentication_timeout() {
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let (mut sink, mut socket) = open(&server).await.0.split();
    let alive = async {
        while sink.send(Message::Ping(Bytes::new())).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::join!(expect_close_frame(&mut socket), alive);
}

async fn expect_close_frame(socket: &mut SplitStream<WebSocketStream<TcpStream>>) {
    let mut messages = socket.filter(|message| ready(!matches!(message, Ok(Message::Pong(_)))));
    let Some(Ok(Message::Text(text))) = messages.next().await else {
        panic!("no error")
    };
    assert!(text.contains("invalid_api_key"), "{text}");
    let Some(Ok(Message::Close(Some(frame)))) = messages.next().await else {
        panic!("not closed")
    };
    assert_eq!(u16::from(frame.code), 4401);
}

#[tokio::test]
async fn oldest_unauthenticated_socket_of_an_address_is_evicted() {
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(open(&server).await);
    }
    assert_eq!(
        handshake(&server, &[("authorization", "Bearer secret-1")])
            .await
            .0,
        101,
        "it is none"
    );
    // An authenticated socket no longer counts as unauthenticated.
    let mut known = clients.remove(0);
    known
        .send(json!({"type": "auth", "api_key": "secret-1"}))
        .await;
    known.read_until("authenticated").await;
    clients.push(open(&server).await);
    let mut page = open(&server).await;
    page.send(json!({"type": "auth", "api_key": "secret-1"}))
        .await;
    page.read_until("authenticated").await;
    assert_eq!(
        events_until_end(&mut clients[0], 1).await,
        ["- error too_many_sockets"]
    );
    assert_eq!(clients[0].next().await, Some(json!(1013)));
    clients[1]
        .send(json!({"type": "auth", "api_key": "secret-1"}))
        .await;
    assert_eq!(
        clients[1].next().await,
        Some(json!({"type": "authenticated"})),
        "nobody else had to go"
    );
    known.send(chat("a", "hi")).await;
    assert_eq!(
        events_until_end(&mut known, 1).await.last().unwrap(),
        "a done stop"
    );
}

/// Returns the status and the agreed protocol of a WebSocket handshake with these headers.
async fn handshake(server: &Server, headers: &[(&'static str, &str)]) -> (u16, Option<String>) {
    let mut request = format!("ws://{}/v1/stream", server.address)
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_str(value).unwrap());
    }
    match client_async(request, server.connect().await).await {
        Ok((_, response)) => {
            let protocol = response.headers().get("sec-websocket-protocol");
            (
                101,
                protocol.map(|protocol| protocol.to_str().unwrap().to_owned()),
            )
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            (response.status().as_u16(), None)
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn socket_accepts_a_key_in_header_or_subprotocol() {
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let protocols =
        |key: &str| format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1");
    assert_eq!(
        handshake(&server, &[("authorization", "Bearer secret-1")]).await,
        (101, None)
    );
    assert_eq!(
        handshake(&server, &[("authorization", "Bearer guess")])
            .await
            .0,
        401
    );
    let right = protocols("secret-1");
    let right = handshake(&server, &[("sec-websocket-protocol", &right)]).await;
    assert_eq!(right, (101, Some("realtime".to_owned())));
    assert_eq!(
        handshake(&server, &[("sec-websocket-protocol", &protocols("guess"))])
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn socket_is_refused_to_pages_of_other_origins() {
    let server = Server::start(prompted_turns()).await;
    for (origin, status) in [
        ("http://localhost:3000", 101),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        assert_eq!(
            handshake(&server, &[("origin", origin)]).await.0,
            status,
            "{origin}"
        );
    }
    let with_key = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    for (origin, status) in [
        ("http://localhost:3000", 101),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let headers = [("origin", origin), ("authorization", "Bearer secret-1")];
        assert_eq!(
            handshake(&with_key, &headers).await.0,
            status,
            "with a key: {origin}"
        );
    }
    let mut socket = open(&server).await;
    socket.send(json!({"type": "auth", "api_key": "any"})).await;
    assert_eq!(
        socket.next().await,
        Some(json!({"type": "authenticated"})),
        "pages always say it"
    );
}

#[tokio::test]
async fn revoked_key_is_refused_for_the_next_turn() {
    let key = RevocableKey::new().await;
    let server =
        Server::start_as(prompted_turns(), config(), |_| {}, |state| key.state(state)).await;
    let mut socket = open(&server).await;
    socket
        .send(json!({"type": "auth", "api_key": key.text}))
        .await;
    socket.read_until("authenticated").await;
    socket.send(chat("a", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "a done stop"
    );
    key.revoke().await;
    socket.send(chat("b", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await,
        ["b error revoked_api_key"]
    );
}

#[tokio::test]
async fn socket_of_a_hook_that_authenticates_with_its_first_message_is_known_as_such() {
    let turns = ScriptedTurns::new(|caller, _| {
        let is_from_hook = caller.origin.is_from_hook.to_string();
        let words = http::text(&is_from_hook);
        Ok(http::play(vec![http::started(), words, http::finished()]))
    });
    let server = Server::start_as(turns, config(), |_| {}, with_configured_key).await;
    let url = format!("ws://{}/v1/stream", server.address);
    let mut request = url.into_client_request().unwrap();
    let (name, value) = mark_header();
    let value = HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
    let opened = client_async(request, server.connect().await).await;
    let mut socket = Socket(opened.unwrap().0);
    let auth = json!({"type": "auth", "api_key": "secret-1"});
    socket.send(auth).await;
    socket.read_until("authenticated").await;
    socket.send(chat("a", "hi")).await;
    let token = socket.read_until("token").await;
    assert_eq!(token["content"], "true");
}
