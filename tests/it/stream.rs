//! WebSocket endpoint `/v1/stream`: several turns on one connection, through the real CLI.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::TestServer;

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(server: &TestServer) -> Self {
        Self(
            connect_async(server.url("/v1/stream").replace("http:", "ws:"))
                .await
                .unwrap()
                .0,
        )
    }

    async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn chat(&mut self, id: &str, messages: Value) {
        self.send(json!({"type": "chat", "id": id, "model": "haiku", "messages": messages}))
            .await;
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Reads to the end of the turn `id` and returns its text and last message.
    ///
    /// Messages of other turns are dropped.
    async fn answer(&mut self, id: &str) -> (String, Value) {
        let mut words = String::new();
        loop {
            let message = self.next().await;
            match message["type"].as_str().unwrap() {
                _ if message["id"] != id => {}
                "token" => words.push_str(message["content"].as_str().unwrap()),
                "done" | "error" => return (words, message),
                _ => {}
            }
        }
    }
}

fn user(prompt: &str) -> Value {
    json!({"role": "user", "content": prompt})
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_conversation_continues_in_the_same_process() {
    let server = TestServer::real().await.workers(1).start().await;
    let worker = server.only_worker().await;
    let mut socket = Socket::open(&server).await;
    let prompt = "[[say=\"one\"]]";
    socket.chat("1", json!([user(prompt)])).await;
    let (words, done) = socket.answer("1").await;
    assert_eq!(
        (words.as_str(), &done["finish_reason"]),
        ("one", &json!("stop"))
    );
    assert!(done["usage"]["total_tokens"].as_u64() > Some(0), "{done}");
    let answer = json!({"role": "assistant", "content": "one"});
    socket
        .chat("2", json!([user(prompt), answer, user("[[say=\"two\"]]")]))
        .await;
    assert_eq!(socket.answer("2").await.0, "two");
    assert_eq!(server.workers(), [worker], "the same process");
    assert_eq!(
        server.upstream().requests().len(),
        2,
        "one call for each turn"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_one_turn_leaves_another_running() {
    let server = TestServer::real().await.workers(2).start().await;
    let mut socket = Socket::open(&server).await;
    socket
        .chat("long", json!([user("[[tokens=1000 gap_ms=20]]")]))
        .await;
    while socket.next().await["type"] != "token" {}
    socket
        .chat("short", json!([user("[[say=\"done\"]]")]))
        .await;
    assert_eq!(socket.answer("short").await.0, "done");
    socket.send(json!({"type": "cancel", "id": "long"})).await;
    assert_eq!(socket.answer("long").await.1["finish_reason"], "cancelled");
    server.wait_until_idle().await;
    socket.chat("next", json!([user("[[say=\"here\"]]")])).await;
    assert_eq!(socket.answer("next").await.0, "here");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_and_tool_calls_have_their_own_message_types() {
    let server = TestServer::real().await.workers(1).start().await;
    let mut socket = Socket::open(&server).await;
    let prompt = r#"[[thinking="let me see" say="Let me." tool=look input={"z":"1"}]]"#;
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}}});
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": schema}}]);
    socket
        .send(json!({"type": "chat", "id": "a", "model": "haiku", "messages": [user(prompt)], "tools": tools, "reasoning_effort": "low"}))
        .await;
    let mut thoughts = String::new();
    let mut arguments = String::new();
    let mut call = Value::Null;
    let done = loop {
        let message = socket.next().await;
        match message["type"].as_str().unwrap() {
            "reasoning" => thoughts.push_str(message["content"].as_str().unwrap()),
            "tool_call" => {
                arguments.push_str(message["arguments"].as_str().unwrap());
                if message["call_id"].is_string() {
                    call = message;
                }
            }
            "done" => break message,
            _ => {}
        }
    };
    assert_eq!(
        (thoughts.as_str(), arguments.as_str()),
        ("let me see", r#"{"z":"1"}"#)
    );
    assert_eq!((&call["index"], &call["name"]), (&json!(0), &json!("look")));
    assert_eq!(done["finish_reason"], "tool_calls");
    server.end().await;
}
